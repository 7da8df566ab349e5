"""Log-mel pictures of sound, and the way back: what the sound generator makes, heard.

The pictures are those YAMNet reads (64 bands of the HTK scale from 125 to 7,500 Hz, frames of 25 ms every 10 ms), so a
frame holds what the listener of this library hears and nothing finer. The way back has two steps that both lose something: a
magnitude spectrum with the same bands (multiplicative updates, Lee & Seung 2001), and phases that agree with one another
(Griffin & Lim 1984, with the momentum of Perraudin et al. 2013). Pitch below 125 Hz is gone and voices sound hollow.

Letters: B batch, S samples, T frames, M bands (64), K bins (257).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

RATE = 16_000
BANDS = 64
FRAMES = 192
"""Of a picture: 1.91 s from the first frame to the last."""

FRAME, HOP, POINTS = 400, 160, 512
SAMPLES = (FRAMES - 1) * HOP
"""Of a sound with `FRAMES` frames, the first centred on its first sample."""

_FLOOR = 1e-3  # added to the bands before the logarithm
_LOWEST, _HIGHEST = 125.0, 7_500.0
_CENTRE, _SPREAD = -3.0, 3.0  # of the logarithms: they come to lie around 0 with a width of about 1
_MOMENTUM = 0.99


@lru_cache(maxsize=4)
def bands(device: torch.device) -> Tensor:
    """(K, M): triangles that are evenly spaced in mel = 1127 ln(1 + f / 700), each rising to 1."""
    bins = _mel(torch.linspace(0.0, RATE / 2, POINTS // 2 + 1, dtype=torch.float64))
    lowest, highest = _mel(torch.tensor([_LOWEST, _HIGHEST], dtype=torch.float64)).tolist()
    edges = torch.linspace(lowest, highest, BANDS + 2, dtype=torch.float64)
    step = edges[1] - edges[0]
    triangles = (1 - (bins[:, None] - edges[None, 1:-1]).abs() / step).clamp_min(0)
    triangles[0] = 0
    return triangles.float().to(device)


def picture_of(sound: Tensor) -> Tensor:
    """(B, S) float at 16 kHz -> (B, T, M) around 0, T = 1 + S // 160; `SAMPLES` give `FRAMES`."""
    magnitudes = _spectrum(sound).abs().transpose(1, 2)  # (B, K, T) -> (B, T, K)
    return (torch.log(magnitudes @ bands(sound.device) + _FLOOR) - _CENTRE) / _SPREAD


def sound_of(picture: Tensor, *, iterations: int = 60, generator: torch.Generator | None = None) -> Tensor:
    """(B, T, M) as `picture_of` gives -> (B, (T - 1) * 160) float at 16 kHz.

    Args:
        iterations: of Griffin-Lim.
        generator: draws the first phases; on the CPU.
    """
    wanted = (torch.exp(picture.float() * _SPREAD + _CENTRE) - _FLOOR).clamp_min(0)
    magnitudes = spectrum_with(wanted).transpose(1, 2)  # (B, T, K) -> (B, K, T)
    turns = torch.rand(magnitudes.shape, generator=generator).to(picture.device)
    phases = torch.polar(torch.ones_like(turns), 2 * torch.pi * turns)
    before = torch.zeros_like(phases)
    for _ in range(iterations):
        agreed = _spectrum(_sound(magnitudes * phases))
        pushed = agreed + _MOMENTUM * (agreed - before)
        phases = pushed / pushed.abs().clamp_min(1e-9)
        before = agreed
    return _sound(magnitudes * phases)


def spectrum_with(wanted: Tensor, *, updates: int = 40) -> Tensor:
    """Magnitudes (B, T, K), not negative, whose bands come close to `wanted` (B, T, M)."""
    matrix = bands(wanted.device)
    magnitudes = wanted @ (matrix / matrix.sum(0)).T
    reached = wanted @ matrix.T
    for _ in range(updates):
        magnitudes = magnitudes * reached / ((magnitudes @ matrix) @ matrix.T + 1e-8)
    return magnitudes


def _mel(hertz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hertz / 700.0)


def _window(device: torch.device) -> Tensor:
    return torch.hann_window(FRAME, periodic=True, device=device)


def _spectrum(sound: Tensor) -> Tensor:
    """(B, S) -> complex (B, K, T)."""
    return torch.stft(
        sound, POINTS, HOP, FRAME, _window(sound.device), center=True, pad_mode="constant", return_complex=True
    )


def _sound(spectrum: Tensor) -> Tensor:
    """complex (B, K, T) -> (B, (T - 1) * 160)."""
    return torch.istft(spectrum, POINTS, HOP, FRAME, _window(spectrum.device), center=True)
