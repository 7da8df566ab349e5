"""Flow matching: from noise to an array along nearly straight ways, guided by a condition.

Lipman et al., arXiv:2210.02747, with the straight path of optimal transport: between noise e and data x the point at time t
is ``z = (1 - t) e + t x`` and moves with the velocity ``v = x - e``. A network that learns the mean velocity of all ways
through a point carries a whole cloud of noise into the data: sampling follows ``dz/dt = v(z, t)`` from 0 to 1.

Ours predicts the end x of the way, which is the same knowledge: ``v = (x - z) / (1 - t)``. The loss is on the velocity.

Guidance without a classifier (Ho & Salimans, arXiv:2207.12598): the network now and then learns without its condition c,
and sampling follows ``v(z) + w (v(z, c) - v(z))``. w = 1 is the plain conditional flow, 0 forgets the condition.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

_NEAREST = 0.05
"""Of 1 - t in the loss: close to its end a way's velocity is the quotient of two vanishing numbers."""


class Denoiser(Protocol):
    """(z (B, ...), t (B,), c (B, D), drop (B,) bool) -> x (B, ...)."""

    def __call__(self, noisy: Tensor, time: Tensor, condition: Tensor, *, drop: Tensor | None = None) -> Tensor: ...


def velocity(clean: Tensor, noisy: Tensor, time: Tensor, *, nearest: float = 0.0) -> Tensor:
    """Velocity at `noisy` (B, ...) of the way that ends in `clean` (B, ...); time (B,), below 1 unless `nearest` is given."""
    left = (1 - time).clamp_min(nearest).view(-1, *[1] * (noisy.dim() - 1))  # (B,) -> (B, 1, ...)
    return (clean - noisy) / left


def loss(
    network: Denoiser, clean: Tensor, condition: Tensor, *, generator: torch.Generator, forget: float = 0.1
) -> Tensor:
    """Mean squared error of the velocity, per sample (B,).

    Times are drawn where the shape of the whole is decided: a logistic of a normal around -0.6 (arXiv:2403.03206).

    Args:
        clean: (B, ...); `condition` (B, D).
        forget: how often the condition is hidden, for guidance.
    """
    rows, device = len(clean), clean.device
    time = torch.sigmoid(torch.randn(rows, generator=generator, device=device) * 0.9 - 0.6)
    noise = torch.randn(clean.shape, generator=generator, device=device)
    spread = time.view(-1, *[1] * (clean.dim() - 1))  # (B,) -> (B, 1, ...)
    noisy = torch.lerp(noise, clean, spread)
    drop = torch.rand(rows, generator=generator, device=device) < forget
    guess = velocity(network(noisy, time, condition, drop=drop), noisy, time, nearest=_NEAREST)
    return (guess - velocity(clean, noisy, time, nearest=_NEAREST)).square().flatten(1).mean(1)


@torch.no_grad()
def sample(network: Denoiser, noise: Tensor, condition: Tensor, *, steps: int, guidance: float) -> Tensor:
    """Follow the flow from `noise` (B, ...) with `condition` (B, D) to an array (B, ...).

    Heun's method, two looks a step but for the last: the error falls with the square of the steps. Times are evenly spaced.
    """
    z, rows = noise, len(noise)
    times = torch.linspace(0.0, 1.0, steps + 1).tolist()
    twice = torch.cat([condition, condition])
    hidden = torch.arange(2 * rows, device=noise.device) >= rows

    def moved(z: Tensor, at: float) -> Tensor:
        time = noise.new_full((rows,), at)
        if guidance == 1.0:
            return velocity(network(z, time, condition), z, time)
        both = network(torch.cat([z, z]), torch.cat([time, time]), twice, drop=hidden)
        given, free = (velocity(clean, z, time) for clean in both.chunk(2))
        return free + guidance * (given - free)

    for now, then in zip(times, times[1:], strict=False):
        first = moved(z, now)
        step = z + (then - now) * first
        if then < 1.0:
            step = z + (then - now) / 2 * (first + moved(step, then))
        z = step
    return z
