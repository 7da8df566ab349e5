"""One index over all modalities, in one space, with a similarity that can be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from multimodal.errors import InputError
from multimodal.retrieval.collection import Vectors, many_vectors
from multimodal.retrieval.retriever import Interval, RetrievalResult, Retriever, Shipped
from multimodal.retrieval.saving import Reader, Writer
from multimodal.retrieval.similarity import LearnedSimilarity, SimilarityFit
from multimodal.types import ModalityEmbedding, ModalityType


class SemanticSimilarityRetriever(Retriever):
    """Words, pictures and sounds of one space, found by any of them. See `Retriever` for what all retrievers do.

    Before `learn` the similarity is the cosine. Scores of different modalities are not on one scale (words are nearer to
    words than to any picture); confidences are, once calibrated.

    Args:
        embedding_dim: D of the space; 384 for the embedded encoders.
        rank: of the similarity that `learn` fits (see `LearnedSimilarity`), never more than `embedding_dim`.
        calibration: "embedded" for what was shipped for words to words in 384 dimensions.

    Raises:
        ConfigError: a dimension below 1, or a rank below 0.
    """

    kind = "semantic"

    def __init__(self, embedding_dim: int = 512, *, rank: int = 16, calibration: Shipped | None = None) -> None:
        self._similarity = _Learned(LearnedSimilarity(embedding_dim, min(rank, embedding_dim)))
        options = {"embedding_dim": embedding_dim, "rank": rank}
        super().__init__(dict.fromkeys(ModalityType, embedding_dim), self._similarity, options, calibration)

    @property
    def similarity(self) -> LearnedSimilarity:
        """What questions are brought through."""
        return self._similarity.module

    def index(
        self, content: Any, embedding: Vectors, metadata: Mapping[str, Any] | None = None, *,
        modality: ModalityType | str | None = None, timestamp: int | None = None,
    ) -> int:  # fmt: skip
        """Index a thing of any modality, embedding (D,); returns a key for `delete` and `calibrate`.

        Raises:
            InputError: a bare vector without `modality`, and see `multimodal.retrieval.collection.one_vector`.
        """
        if modality is None:
            if not isinstance(embedding, ModalityEmbedding):
                raise InputError("a bare vector is indexed with modality=, one of " + ", ".join(ModalityType))
            modality = embedding.modality
        return self._index(self._collection(modality).modality, content, embedding, metadata, timestamp)

    def retrieve(
        self, query: Vectors, target_modality: ModalityType | str | None = None, top_k: int = 5, *,
        between: Interval | None = None,
    ) -> list[RetrievalResult]:  # fmt: skip
        """The `top_k` nearest to a question at (D,), best first: of one modality, or of all where None."""
        source = self._source(query, None)
        targets = list(self._collections) if target_modality is None else [self._collection(target_modality).modality]
        with self._lock:
            found = [one for target in targets for one in self._answers(query, source, target, top_k, between)]
        return sorted(found, key=lambda one: (-one.similarity_score, one.key))[:top_k]

    def learn(
        self, questions: Tensor | Sequence[ModalityEmbedding], answers: Tensor | Sequence[ModalityEmbedding], **how: Any
    ) -> SimilarityFit:
        """Learn the similarity from pairs, (N, D) and (N, D) or embeddings; `how` as `LearnedSimilarity.fit` takes it.

        Where it helps no held-out pairs, nothing changes. Where it does, calibrations are dropped: scores mean other things.
        """
        size = self._options["embedding_dim"]
        x, y = (many_vectors(_stacked(side), size, what) for side, what in ((questions, "questions"), (answers, "answers")))
        with self._lock:
            fit = self.similarity.fit(x, y, **how)
            if fit.kept:
                self._calibrations.clear()
        return fit

    @classmethod
    def _construct(cls, source: Reader, options: dict[str, Any]) -> Self:
        found = cls(**options)
        state = {name: torch.from_numpy(values.copy()) for name, values in source.arrays("similarity").items()}
        found.similarity.load_state_dict(state)
        return found


class _Learned:
    """The bridge of one space whose questions are moved by a learned similarity."""

    plain = True

    def __init__(self, module: LearnedSimilarity) -> None:
        self.module = module.eval()

    def placed(self, modality: ModalityType, vectors: Tensor) -> Tensor:
        return vectors

    @torch.no_grad()
    def asked(self, source: ModalityType | None, target: ModalityType, vector: Tensor) -> Tensor:
        found: Tensor = self.module(vector.to(self.module.scale))
        return found

    def write(self, out: Writer) -> None:
        state = self.module.state_dict()
        out.arrays("similarity", {name: np.asarray(value.cpu()) for name, value in state.items()})


def _stacked(side: Tensor | Sequence[ModalityEmbedding]) -> Tensor:
    return side if isinstance(side, Tensor) else torch.stack([entry.embedding for entry in side])
