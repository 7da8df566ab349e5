"""Texts to the shared space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings import models
from multimodal.embeddings._entry import unreadable
from multimodal.embeddings.minilm import MAX_TOKENS, PAD, WIDTH
from multimodal.embeddings.runtime import Device, Runtime, open_runtime
from multimodal.errors import InputError
from multimodal.quality import text_quality
from multimodal.types import ModalityEmbedding, ModalityType

MAX_CHARACTERS = 8192
"""A text is cut here before it is split into tokens: of a gigabyte only this much is read."""

_STEP = 4  # a text is padded to the next multiple of this many tokens: its own length decides, never its neighbours'
_UNKNOWN = 100  # token id of what the tokenizer has no pieces for


class TextModalityEncoder:
    """Sentences as unit vectors of 384 dimensions (all-MiniLM-L6-v2, English). Thread-safe.

    Args:
        device: "auto" | "cpu" | "cuda".
        max_tokens: what is longer is cut; at most 256.
        runtime: runs the graph; opened from the pulled model where None.

    Raises:
        ModelMissingError: the model has not been pulled; the message says how.
    """

    modality = ModalityType.TEXT

    def __init__(
        self, *, device: Device = "auto", max_tokens: int = MAX_TOKENS, runtime: Runtime | None = None
    ) -> None:
        from tokenizers import Tokenizer

        self._runtime = runtime or open_runtime("minilm", device)
        tokenizer = Tokenizer.from_file(str(models.folder_of("minilm") / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(min(max_tokens, MAX_TOKENS))
        self._tokenizer = tokenizer
        self._continues = np.zeros(tokenizer.get_vocab_size(), bool)  # pieces that continue a word
        self._continues[[i for piece, i in tokenizer.get_vocab().items() if piece.startswith("##")]] = True
        self.fingerprint = f"{self._runtime.fingerprint}/tokens-{min(max_tokens, MAX_TOKENS)}"

    def __call__(self, texts: Any) -> Any:
        """One text -> `ModalityEmbedding`; a list of texts -> a list of them.

        Raises:
            InputError: no string, or an empty one.
        """
        if isinstance(texts, (list, tuple)):
            for text in texts:
                checked(text)
            return self.encode_batch(texts)
        checked(texts)
        return self.encode_batch([texts])[0]

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """As many texts as you like; one that cannot be read gives an entry with `error` and leaves the others alone.

        An entry's ``metadata["truncated"]`` says that its text was longer than `max_tokens`.

        Raises:
            InputError: a text instead of a list of them.
        """
        if isinstance(items, (str, bytes)):
            raise InputError(f"texts come as a list; for one text: [{items[:20]!r}]")
        results: list[ModalityEmbedding | None] = [None] * len(items)
        texts: list[str] = []
        places: list[int] = []
        for i, item in enumerate(items):
            try:
                texts.append(checked(item))
                places.append(i)
            except InputError as error:
                results[i] = unreadable(self.modality, str(error), WIDTH)
        encodings = self._tokenizer.encode_batch_fast(texts)
        ids = [np.array(encoding.ids, np.int64) for encoding in encodings]
        groups: dict[int, list[int]] = {}
        for k, own in enumerate(ids):
            groups.setdefault(-(-len(own) // _STEP) * _STEP, []).append(k)
        for length, members in groups.items():
            block = np.full((len(members), length), PAD, np.int64)
            for row, k in enumerate(members):
                block[row, : len(ids[k])] = ids[k]
            embeddings, tokens = (torch.from_numpy(output) for output in self._runtime(block))
            for row, k in enumerate(members):
                entry = self._entry(texts[k], ids[k], embeddings[row], tokens[row, : len(ids[k])])
                entry.metadata["truncated"] = bool(encodings[k].overflowing)
                results[places[k]] = entry
        return [result for result in results if result is not None]

    def _entry(
        self, text: str, ids: NDArray[np.int64], embedding: torch.Tensor, tokens: torch.Tensor
    ) -> ModalityEmbedding:
        pieces = max(len(ids) - 2, 1)  # without the two marks round the sentence
        words = pieces - int(self._continues[ids].sum())
        quality = text_quality(text, pieces / max(words, 1))
        confidence = 1.0 - float((ids == _UNKNOWN).sum()) / pieces
        metadata = {"native": embedding, "labels": [], "quality": quality}
        return ModalityEmbedding(self.modality, embedding, tokens, metadata, quality["quality"], confidence)


def checked(text: Any) -> str:
    """Stripped, cut, without lone surrogates (they become "?", as they have no meaning)."""
    if not isinstance(text, str):
        raise InputError(f"a text is a str, not {type(text).__name__}")
    cut: str = text.lstrip()[:MAX_CHARACTERS].rstrip()
    if not cut:
        raise InputError("the text is empty")
    return cut.encode("utf-8", "replace").decode("utf-8")
