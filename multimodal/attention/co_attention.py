"""Two streams that attend to each other in one step (ViLBERT, Lu et al. 2019, arXiv:1908.02265).

Shapes: B batch, Tv and Tl tokens of vision and language, Dv and Dl their features, H hidden, n heads, S bottleneck tokens.

Each stream queries the other, adds what it finds to itself, normalises, and passes a feed-forward network round which it
is added again. With bottleneck tokens (Nagrani et al. 2021, arXiv:2107.00135) nothing passes directly: a few shared tokens
first read both streams and each stream then reads those, so the exchange costs S (Tv + Tl) in place of Tv Tl.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multimodal.attention.core import attend, merge_heads, split_heads
from multimodal.attention.edge import batched, clean, key_ignore, quiet, rate, widths
from multimodal.errors import ConfigError, InputError

Maps = dict[str, Tensor]
KeysValues = tuple[Tensor, Tensor]


class CoAttention(nn.Module):
    """Both directions are built alike: exchange the weights of `vision` and `language` and the inputs, and the results
    are exchanged.

    Args:
        hidden_dim: H of both results, a multiple of `num_heads`.
        dropout: of the weights and behind the feed-forward network, in training.
        feedforward_dim: 4 H unless given.
        bottleneck_tokens: S; 0 lets the streams see each other directly.
    """

    def __init__(
        self,
        vision_dim: int,
        language_dim: int,
        hidden_dim: int,
        num_heads: int = 8,
        dropout: float = 0.0,
        *,
        feedforward_dim: int | None = None,
        bottleneck_tokens: int = 0,
    ) -> None:
        super().__init__()
        if min(vision_dim, language_dim) < 1:
            raise ConfigError(f"vision_dim is {vision_dim} and language_dim {language_dim}: both must be positive")
        widths(hidden_dim, num_heads, "hidden_dim")
        rate(dropout, "dropout")
        if bottleneck_tokens < 0:
            raise ConfigError(f"bottleneck_tokens is {bottleneck_tokens}: it must be 0, for none, or more")
        feedforward_dim = 4 * hidden_dim if feedforward_dim is None else feedforward_dim
        self.vision_dim, self.language_dim, self.hidden_dim = vision_dim, language_dim, hidden_dim
        self.vision = _Stream(vision_dim, hidden_dim, num_heads, dropout, feedforward_dim)
        self.language = _Stream(language_dim, hidden_dim, num_heads, dropout, feedforward_dim)
        self.bottleneck = _Bottleneck(bottleneck_tokens, hidden_dim, num_heads, dropout) if bottleneck_tokens else None

    def forward(
        self,
        vision_features: Tensor,
        language_features: Tensor,
        *,
        vision_padding_mask: Tensor | None = None,
        language_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        average_attn_weights: bool = False,
    ) -> tuple[Tensor, Tensor, Maps]:
        """Vision (B, Tv, H), language (B, Tl, H), and who looked at what.

        The maps, before dropout, rows summing to 1: ``vision_to_language`` (B, n, Tv, Tl), where vision asks, and
        ``language_to_vision`` (B, n, Tl, Tv). With bottleneck tokens the ones that were used are there too:
        ``vision_to_bottleneck`` (B, n, Tv, S), ``language_to_bottleneck``, and ``bottleneck_to_vision`` (B, n, S, Tv) and
        ``bottleneck_to_language``, whose rows sum to 1 together; the first two are then products of these, rescaled.

        Args:
            vision_features: (B, Tv, Dv) or (Tv, Dv); `language_features` (B, Tl, Dl) or (Tl, Dl), alike. Without a batch the
                results have none.
            vision_padding_mask: bool (B, Tv), True = no token; `language_padding_mask` (B, Tl). Nobody sees it.
                A stream whose partner has no token finds nothing to add; with bottleneck tokens, only what is its own.
            need_weights: False leaves the maps out, empty, and uses the fused kernel.
            average_attn_weights: mean over the heads.
        """
        if vision_features.dim() != language_features.dim():
            raise InputError(
                f"vision_features is {tuple(vision_features.shape)} and language_features {tuple(language_features.shape)}: "
                "both must have a batch dimension, or neither"
            )
        seen = batched(vision_features, self.vision_dim, "vision_features")
        said = batched(language_features, self.language_dim, "language_features")
        if seen.shape[0] != said.shape[0]:
            raise InputError(f"vision_features has a batch of {seen.shape[0]}, language_features one of {said.shape[0]}")
        hide_seen, hide_said = _hide(vision_padding_mask, seen), _hide(language_padding_mask, said)
        seen = self.vision.enter(clean(seen, vision_padding_mask))  # (B, Tv, Dv) -> (B, Tv, H)
        said = self.language.enter(clean(said, language_padding_mask))
        maps: Maps = {}
        offers = self.vision.offer(seen), self.language.offer(said)
        if self.bottleneck is None:
            from_said, to_said = self.vision.ask(seen, offers[1], hide_said, need_weights)
            from_seen, to_seen = self.language.ask(said, offers[0], hide_seen, need_weights)
            if to_said is not None and to_seen is not None:
                maps = {"vision_to_language": to_said, "language_to_vision": to_seen}
        else:
            shared, to_both = self.bottleneck(offers, (hide_seen, hide_said), need_weights)
            from_said, from_vision = self.vision.ask(seen, shared, None, need_weights)
            from_seen, from_language = self.language.ask(said, shared, None, need_weights)
            if to_both is not None and from_vision is not None and from_language is not None:
                to_seen, to_said = to_both[..., : seen.shape[1]], to_both[..., seen.shape[1] :]
                maps = {
                    "vision_to_language": _through(from_vision, to_said),
                    "language_to_vision": _through(from_language, to_seen),
                    "vision_to_bottleneck": from_vision,
                    "language_to_bottleneck": from_language,
                    "bottleneck_to_vision": to_seen,
                    "bottleneck_to_language": to_said,
                }
        vision, language = self.vision.leave(seen, from_said), self.language.leave(said, from_seen)
        if average_attn_weights:
            maps = {name: weights.mean(1) for name, weights in maps.items()}
        if vision_features.dim() == 2:
            return vision[0], language[0], {name: weights[0] for name, weights in maps.items()}
        return vision, language, maps


class _Stream(nn.Module):
    """One side: `hidden_dim` features, what it offers the other, what it asks, and what it makes of the answer."""

    def __init__(self, width: int, hidden_dim: int, num_heads: int, dropout: float, feedforward_dim: int) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.enter = nn.Linear(width, hidden_dim)
        self.query, self.key, self.value, self.output = (nn.Linear(hidden_dim, hidden_dim) for _ in range(4))
        self.found_norm, self.norm = nn.LayerNorm(hidden_dim), nn.LayerNorm(hidden_dim)
        self.feedforward = nn.Sequential(
            nn.Linear(hidden_dim, feedforward_dim), nn.GELU(), nn.Linear(feedforward_dim, hidden_dim), nn.Dropout(dropout)
        )

    def offer(self, tokens: Tensor) -> KeysValues:
        return split_heads(self.key(tokens), self.num_heads), split_heads(self.value(tokens), self.num_heads)

    def ask(
        self, tokens: Tensor, offered: KeysValues, hide: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """What was found (B, T, H) and the weights (B, n, T, Tk)."""
        query = split_heads(self.query(tokens), self.num_heads)
        dropout = self.dropout if self.training else 0.0
        found, weights = attend(query, *offered, ignore=hide, dropout=dropout, need_weights=need_weights)
        return quiet(self.output(merge_heads(found)), hide), weights

    def leave(self, tokens: Tensor, found: Tensor) -> Tensor:
        tokens = self.found_norm(tokens + found)
        left: Tensor = self.norm(tokens + self.feedforward(tokens))
        return left


class _Bottleneck(nn.Module):
    """Tokens that read both streams at once, in one softmax, and are then read by each."""

    def __init__(self, tokens: int, hidden_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.tokens = nn.Parameter(torch.randn(tokens, hidden_dim) * 0.02)
        self.query, self.key, self.value, self.output = (nn.Linear(hidden_dim, hidden_dim) for _ in range(4))
        self.norm = nn.LayerNorm(hidden_dim)

    def forward(
        self, offers: tuple[KeysValues, KeysValues], hide: tuple[Tensor | None, Tensor | None], need_weights: bool
    ) -> tuple[KeysValues, Tensor | None]:
        """Its keys and values (B, n, S, H/n), and its weights over both streams (B, n, S, Tv + Tl)."""
        keys, values = (torch.cat(pair, 2) for pair in zip(*offers, strict=True))  # (B, n, Tv + Tl, H/n)
        ignore = None
        if hide[0] is not None or hide[1] is not None:
            ignore = torch.cat([_mask(part, offer[0]) for part, offer in zip(hide, offers, strict=True)], -1)
        tokens = self.tokens.expand(keys.shape[0], -1, -1)  # (S, H) -> (B, S, H)
        query = split_heads(self.query(tokens), self.num_heads).to(keys.dtype)
        dropout = self.dropout if self.training else 0.0
        found, weights = attend(query, keys, values, ignore=ignore, dropout=dropout, need_weights=need_weights)
        tokens = self.norm(tokens + quiet(self.output(merge_heads(found)), ignore))
        shared = split_heads(self.key(tokens), self.num_heads), split_heads(self.value(tokens), self.num_heads)
        return shared, weights


def _hide(padding: Tensor | None, tokens: Tensor) -> Tensor | None:
    return None if padding is None else key_ignore(padding, tokens).expand(tokens.shape[0], -1, -1, -1)


def _mask(hide: Tensor | None, keys: Tensor) -> Tensor:
    """(B, 1, 1, T) of keys (B, n, T, d)."""
    return hide if hide is not None else keys.new_zeros((keys.shape[0], 1, 1, keys.shape[2]), dtype=torch.bool)


def _through(first: Tensor, second: Tensor) -> Tensor:
    """(.., T, S) and (.., S, Tk): the share of each key in what comes through, rows summing to 1, or 0 where nothing does."""
    whole = first @ second
    return whole / whole.sum(-1, keepdim=True).clamp(min=torch.finfo(whole.dtype).tiny)
