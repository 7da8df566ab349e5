"""On-the-fly gradient modulation: the modality that is already sure waits for the others."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multimodal.errors import ConfigError, InputError


class GradientModulation:
    """OGM-GE (arXiv:2203.15332): scales the gradients of the encoders between ``backward()`` and ``step()``.

        s_m = sum over the batch of softmax(logits_m)[label]          how much modality m alone has understood
        r_m = s_m / mean of the others' s                             how far it is ahead
        k_m = 1 - tanh(alpha (r_m - 1)) where r_m > 1, else 1

    The paper has tanh(alpha r_m), which jumps at r_m = 1: where two are about even, whichever is a hair ahead is held back
    hard, and both learn less than without it (measured with large steps). Without the jump nobody is held back there.

    Every gradient of encoder m is multiplied by k_m; then noise with the standard deviation of that gradient, as it was
    before, times sqrt(1 - k_m^2) is added (the paper adds it in full), so that the step is smaller in its direction and not
    in its size: the paper's "generalisation enhancement".

    Args:
        encoders: by modality, at least two; no parameter may be in two of them.
        alpha: how hard the leader is held back, above 0.
        enhance: add the noise.
        generator: of the noise; the global one where None.

    Raises:
        ConfigError: fewer than two encoders, a shared parameter, or an `alpha` that is not above 0.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        alpha: float = 1.0,
        enhance: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        if len(encoders) < 2:
            raise ConfigError(f"encoders has {len(encoders)} modality, expected two or more to balance")
        if not (math.isfinite(alpha) and alpha > 0):
            raise ConfigError(f"alpha is {alpha!r}, expected a number above 0")
        owner: dict[int, str] = {}
        for name, encoder in encoders.items():
            for label, parameter in encoder.named_parameters():
                if id(parameter) in owner:
                    raise ConfigError(f"{label!r} belongs to {owner[id(parameter)]!r} and {name!r}; share no parameter")
                owner[id(parameter)] = name
        self.encoders = dict(sorted(encoders.items()))
        self.alpha, self.enhance, self.generator = alpha, enhance, generator

    @torch.no_grad()
    def __call__(
        self, logits: Mapping[str, Tensor], labels: Tensor, *, mask: Mapping[str, Tensor] | None = None
    ) -> dict[str, float]:
        """Scale what `backward()` left in ``.grad``; returns k by modality.

        Args:
            logits: (B, C) of each modality alone; log-probabilities will do, such as ``log_probabilities`` of `LateFusion`.
            labels: (B,) classes.
            mask: by name (B,) bool, True = absent: those samples say nothing about that modality.

        Raises:
            InputError: logits of other modalities than the encoders', or of another shape.
        """
        if missing := [name for name in self.encoders if name not in logits]:
            raise InputError(f"logits lacks {', '.join(missing)}, expected those of {', '.join(self.encoders)}")
        sure = {}
        for name in self.encoders:
            if logits[name].ndim != 2 or logits[name].shape[:1] != labels.shape:
                raise InputError(f"logits[{name!r}] is {tuple(logits[name].shape)}, expected ({len(labels)}, classes)")
            right = torch.softmax(logits[name].float(), -1).gather(1, labels.long()[:, None])[:, 0]  # (B,)
            there = ~mask[name] if mask and name in mask else torch.ones_like(labels, dtype=torch.bool)
            sure[name] = float(right[there].mean()) if bool(there.any()) else None
        scales = {}
        for name, encoder in self.encoders.items():
            scales[name] = self._scale(name, sure)
            if scales[name] < 1:
                self._modulate(encoder, scales[name])
        return scales

    def _scale(self, name: str, sure: Mapping[str, float | None]) -> float:
        own = sure[name]
        others = [value for other, value in sure.items() if other != name and value is not None]
        if own is None or not others or own <= (mean := sum(others) / len(others)):
            return 1.0
        return 1 - math.tanh(self.alpha * (own / mean - 1)) if mean > 0 else 0.0

    def _modulate(self, encoder: nn.Module, scale: float) -> None:
        for parameter in encoder.parameters():
            gradient = parameter.grad
            if gradient is None:
                continue
            spread = gradient.float().std(correction=0) * math.sqrt(1 - scale * scale)
            gradient.mul_(scale)
            if self.enhance:
                noise = torch.randn(gradient.shape, generator=self.generator, device=gradient.device)
                gradient.add_((noise * spread).to(gradient.dtype))
