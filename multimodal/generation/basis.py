"""A small space for big arrays: principal components (Pearson 1901; Turk & Pentland 1991 for pictures).

A flow over every value of an array would spend all but a few of its directions on noise. The arrays of one kind lie close
to the span of a few hundred of their own directions; the flow runs there, and a matrix product leads back.

Letters: B batch, K coordinates, F values of an array.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Basis(nn.Module):
    """Arrays (B, F) to coordinates (B, K) and back; made by `Basis.of`, or empty to load a state into."""

    def __init__(self, values: int, coordinates: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(values), requires_grad=False)
        self.directions = nn.Parameter(torch.zeros(coordinates, values), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(coordinates), requires_grad=False)

    @classmethod
    def of(cls, arrays: Tensor, coordinates: int) -> Basis:
        """The directions along which `arrays` (N, F) differ most.

        Coordinates are divided by the square root of their deviation and so have another deviation each, 1 in the mean of
        the squares: the flow first settles what matters most and still hears the least.
        """
        basis = cls(arrays.shape[1], coordinates)
        mean = arrays.mean(0)
        _, lengths, directions = torch.linalg.svd(arrays - mean, full_matrices=False)
        deviation = lengths[:coordinates] / len(arrays) ** 0.5
        basis.mean.copy_(mean)
        basis.directions.copy_(directions[:coordinates])
        basis.spread.copy_(deviation.sqrt() * deviation.mean().sqrt())
        return basis

    def coordinates(self, arrays: Tensor) -> Tensor:
        """(B, F) -> (B, K)."""
        return (arrays - self.mean) @ self.directions.T / self.spread

    def arrays(self, coordinates: Tensor) -> Tensor:
        """(B, K) -> (B, F)."""
        return (coordinates * self.spread) @ self.directions + self.mean
