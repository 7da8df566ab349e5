"""Five ways to fuse, one call: the quality-weighted mean before training, more than any sum can say after it.

python -m examples.fusion
"""

import torch
from torch import nn

from multimodal.fusion import BilinearFusion, LateFusion


def moments(samples: int, generator: torch.Generator) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Sound and picture agree (0) or not (1) in the sign of their first number: neither alone says anything."""
    x = {name: torch.randn(samples, 16, generator=generator) for name in ("audio", "image")}
    return x, ((x["audio"][:, 0] > 0) ^ (x["image"][:, 0] > 0)).long()


def main() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    (x, y), (held, wanted) = moments(2000, generator), moments(1000, generator)
    for strategy in (LateFusion, BilinearFusion):
        fusion, head = strategy({"audio": 16, "image": 16}, hidden_dim=16), nn.Linear(16, 2)
        optimizer = torch.optim.AdamW([*fusion.parameters(), *head.parameters()], lr=1e-2)
        for _ in range(150):
            rows = torch.randint(0, len(y), (128,), generator=generator)
            fused, _ = fusion({name: values[rows] for name, values in x.items()})
            loss = nn.functional.cross_entropy(head(fused), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        fused, metadata = fusion.eval()(held)
        right = (head(fused).argmax(1) == wanted).float().mean()
        shares = ", ".join(f"{name} {float(share.mean()):.2f}" for name, share in metadata["contributions"].items())
        print(f"{strategy.__name__}: {right:.0%} right on held-out moments; contributions: {shares}")


if __name__ == "__main__":
    main()
