"""Two spaces that share nothing but text become one: pictures of the one and sounds of the other can then be compared.

After "Connecting Multi-modal Contrastive Representations" (Wang et al., arXiv:2305.14381). Taken from it: text is the bridge;
*semantic enhancement*, so that the map is fitted not on texts alone, where pictures and sounds are not, but also on what each
text would be as a picture and as a sound (the softmax-weighted mean of a memory of unpaired ones); noise on what is fitted.
Different here: the first space stays as it is, so that what is stored in it stays valid; the gap between modalities is closed
by centring each instead of by a further loss; and the map is solved in closed form, the noise being its ridge (Bishop, Neural
Computation 7, 1995) instead of drawn. No pair of a picture with a sound is ever needed.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from multimodal.embeddings.space import Method, mapped, procrustes, ridge_map, unit
from multimodal.errors import ConfigError, InputError, NotReadyError

Kind = Literal["text", "other"]
_KINDS: dict[str, int] = {"text": 0, "other": 1}


class JoinedSpaces(nn.Module):
    """A space of text and pictures (dimensions A) and one of text and sounds (B), joined in the first.

    Each space has its text and one `other` modality. `first` and `second` give unit vectors (..., A) that may be compared
    with each other, whatever they were. All state is in buffers: `state_dict` is the whole of it.
    """

    weight: Tensor
    means_first: Tensor
    means_second: Tensor
    fitted: Tensor

    def __init__(self, first_dim: int, second_dim: int) -> None:
        super().__init__()
        if min(first_dim, second_dim) < 1:
            raise ConfigError(f"dimensions are whole numbers above 0, not {first_dim} and {second_dim}")
        self.first_dim, self.second_dim = first_dim, second_dim
        self.register_buffer("weight", torch.zeros(first_dim, second_dim))
        self.register_buffer("means_first", torch.zeros(2, first_dim))
        self.register_buffer("means_second", torch.zeros(2, second_dim))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def fit(
        self,
        text_first: Tensor,
        text_second: Tensor,
        other_first: Tensor,
        other_second: Tensor,
        *,
        method: Method = "procrustes",
        noise: float = 1.0,
        temperature: float = 0.1,
        enhanced: bool = True,
    ) -> JoinedSpaces:
        """Learn the map.

        Args:
            text_first, text_second: (N, A) and (N, B): the same N texts as the two text encoders have them.
            other_first, other_second: (P, A) and (S, B): any pictures and any sounds; they are no pairs.
            method: "procrustes", which keeps the inner products of the second space, or "ridge".
            noise: power of the noise that the map has to bear, as a share of the power of what is mapped; for "ridge".
            temperature: of the softmax over the memory. The paper has 1/100, for cosines as sharp as CLIP's.
            enhanced: fit on the texts' pictures and sounds too, not on the texts alone. It brings the more, the more the
                modalities differ from their texts.

        Raises:
            InputError: shapes that do not fit.
        """
        rows = (text_first, text_second, other_first, other_second)
        dims = (self.first_dim, self.second_dim, self.first_dim, self.second_dim)
        if any(v.ndim != 2 or v.shape[1] != d or len(v) < 2 for v, d in zip(rows, dims, strict=True)):
            raise InputError(f"rows are (N, {dims[0]}), (N, {dims[1]}), (P, {dims[0]}), (S, {dims[1]}), at least two each")
        if len(text_first) != len(text_second):
            raise InputError(f"the same texts in both spaces, not {len(text_first)} and {len(text_second)}")
        if method not in ("ridge", "procrustes"):
            raise ConfigError(f"method is {method!r}, expected 'procrustes' or 'ridge'")
        units = [unit(v.double()) for v in rows]
        means = [each.mean(0) for each in units]
        text_a, text_b, other_a, other_b = (unit(u - m) for u, m in zip(units, means, strict=True))
        x, y = [text_b], [text_a]
        if enhanced:
            seen, heard = _as_remembered(text_a, other_a, temperature), _as_remembered(text_b, other_b, temperature)
            x, y = [text_b, text_b, heard, heard], [text_a, seen, text_a, seen]
        a, b = torch.cat(y), torch.cat(x)
        self.weight.copy_(ridge_map(b, a, ridge=noise) if method == "ridge" else procrustes(b, a)[0])
        self.means_first.copy_(torch.stack([means[0], means[2]]))
        self.means_second.copy_(torch.stack([means[1], means[3]]))
        self.fitted.fill_(True)
        return self

    def first(self, vectors: Tensor, kind: Kind) -> Tensor:
        """(..., A) of the first space, "text" or "other" -> (..., A): centred, unit length."""
        return self._centred(vectors, self.means_first, kind)

    def second(self, vectors: Tensor, kind: Kind) -> Tensor:
        """(..., B) of the second space, "text" or "other" -> (..., A): centred, mapped, unit length."""
        x = self._centred(vectors, self.means_second, kind)
        return unit(mapped(x, self.weight))  # (..., B) -> (..., A)

    def _centred(self, vectors: Tensor, means: Tensor, kind: Kind) -> Tensor:
        if not bool(self.fitted):
            raise NotReadyError("the spaces were not joined yet: call fit()")
        if kind not in _KINDS:
            raise InputError(f"kind is {kind!r}, expected 'text' or 'other'")
        if vectors.shape[-1] != means.shape[1]:
            raise InputError(f"vectors of that space have {means.shape[1]} dimensions, not {vectors.shape[-1]}")
        return unit(unit(vectors) - means[_KINDS[kind]].to(vectors.dtype))


def _as_remembered(texts: Tensor, memory: Tensor, temperature: float) -> Tensor:
    """What a text (N, D) would be in the other modality: the memory (M, D) weighted by softmax(cosine / temperature)."""
    return unit((texts @ memory.T / temperature).softmax(1) @ memory)
