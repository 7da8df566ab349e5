"""From 32x32 to 64x64: what interpolation blurs and the basis leaves out, put back where a picture of this kind has it.

Interpolation plus a learned difference, computed on the small grid and unfolded at the end (Shi et al., arXiv:1609.05158).

Letters: B batch, G side of the small grid, W channels.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name


class Enlarger(nn.Module):
    """(B, 3, G, G) -> (B, 3, 2 G, 2 G); untrained, bicubic interpolation."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        last = nn.Conv2d(width, 3 * 4, 3, padding=1)
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.SiLU(),
            last,
        )  # fmt: skip
        for values in last.parameters():
            nn.init.zeros_(values)

    def forward(self, small: Tensor) -> Tensor:
        large = F.interpolate(small, scale_factor=2.0, mode="bicubic", align_corners=False)
        return large + F.pixel_shuffle(self.layers(small), 2)  # (B, 12, G, G) -> (B, 3, 2 G, 2 G)
