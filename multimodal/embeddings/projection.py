"""Vectors of one space to those of another and back, learned from pairs. N rows, A and B dimensions."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings import measures
from multimodal.embeddings.space import procrustes, unit
from multimodal.errors import ConfigError, InputError

TEMPERATURES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Of the softmax over cosines; training stays above the first."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What `CrossModalProjection.fit` did.

    Attributes:
        start, best: loss on the held-out pairs of the closed form alone, and the lowest; best <= start.
        epoch: of the lowest, 0 the closed form.
        losses: (training, held out) of every epoch that was tried.
        recall: of the held-out pairs, a to b, at the lowest: R@1, R@5, R@10, median rank.
    """

    start: float
    best: float
    epoch: int
    losses: list[tuple[float, float]] = field(default_factory=list)
    recall: dict[str, float] = field(default_factory=dict)


class CrossModalProjection(nn.Module):
    """Both directions between two spaces, cycle-consistent.

    A linear part in closed form: each side is centred, and between the two lies one semi-orthogonal map (Schönemann, 1966),
    used forwards and, transposed, backwards, so that a way there and back changes nothing that the smaller space can hold.
    On it, a residual perceptron per direction whose last layer starts at zero: before `fit` trains it, the projection is
    exactly its linear part, and `fit` keeps what it trained only where pairs that it has not learned from are nearer then.

    Args:
        dim_a, dim_b: A and B.
        hidden_dim: of the residual; 0 for none.
        dropout: in the residual, while training.

    Raises:
        ConfigError: a value outside of what is said here.
    """

    mean_a: Tensor
    mean_b: Tensor

    def __init__(self, dim_a: int, dim_b: int, *, hidden_dim: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        if min(dim_a, dim_b) < 1 or hidden_dim < 0:
            raise ConfigError(f"dim_a and dim_b are above 0, hidden_dim not below 0: {dim_a}, {dim_b}, {hidden_dim}")
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout is in [0, 1), not {dropout}")
        self.dim_a, self.dim_b = dim_a, dim_b
        self.register_buffer("mean_a", torch.zeros(dim_a))
        self.register_buffer("mean_b", torch.zeros(dim_b))
        self.forwards = nn.Parameter(torch.eye(dim_b, dim_a))
        self.backwards = nn.Parameter(torch.eye(dim_a, dim_b))
        self.residual_to_b = _residual(dim_b, hidden_dim, dropout) if hidden_dim else None
        self.residual_to_a = _residual(dim_a, hidden_dim, dropout) if hidden_dim else None
        self.log_temperature = nn.Parameter(torch.tensor(0.07).log())

    def forward(self, a: Tensor) -> Tensor:
        """The same as `to_b`."""
        return self.to_b(a)

    def to_b(self, a: Tensor) -> Tensor:
        """(..., A) -> (..., B) unit vectors among the centred ones of b: compare them with `centred_b`."""
        return _through(self.centred_a(a), self.forwards, self.residual_to_b)

    def to_a(self, b: Tensor) -> Tensor:
        """(..., B) -> (..., A) unit vectors among the centred ones of a: compare them with `centred_a`."""
        return _through(self.centred_b(b), self.backwards, self.residual_to_a)

    def cycle_a(self, a: Tensor) -> Tensor:
        """(..., A) there and back: near `centred_a(a)`."""
        return _through(self.to_b(a), self.backwards, self.residual_to_a)

    def cycle_b(self, b: Tensor) -> Tensor:
        """(..., B) there and back: near `centred_b(b)`."""
        return _through(self.to_a(b), self.forwards, self.residual_to_b)

    def centred_a(self, a: Tensor) -> Tensor:
        """(..., A) -> (..., A): unit length, less the mean of the pairs it was fitted on, unit length."""
        return _centred(a, self.mean_a)

    def centred_b(self, b: Tensor) -> Tensor:
        """(..., B) -> (..., B), likewise."""
        return _centred(b, self.mean_b)

    def loss(self, a: Tensor, b: Tensor, *, cycle: float = 0.1) -> Tensor:
        """Of pairs (N, A), (N, B): InfoNCE both ways in both spaces (van den Oord et al., arXiv:1807.03748) and `cycle` times
        what a way there and back loses (Zhu et al., arXiv:1703.10593), as 1 - cosine."""
        contrastive, lost = self._losses(a, b, self.log_temperature.exp().clamp(min=TEMPERATURES[0])[None])
        return contrastive[0] + cycle * lost

    @torch.no_grad()
    def start(self, a: Tensor, b: Tensor) -> None:
        """The linear part, from pairs (N, A), (N, B): closed form; the residual is put back to zero."""
        x, y = self._pairs(a, b)
        self.mean_a.copy_(F.normalize(x, dim=1).mean(0))
        self.mean_b.copy_(F.normalize(y, dim=1).mean(0))
        x, y = _centred(x, self.mean_a.double()), _centred(y, self.mean_b.double())
        turn, _ = procrustes(x, y)  # (B, A)
        self.forwards.copy_(turn)
        self.backwards.copy_(turn.T)
        for residual in (self.residual_to_b, self.residual_to_a):
            if residual is not None:
                for parameter in residual[-1].parameters():
                    nn.init.zeros_(parameter)

    def fit(
        self,
        a: Tensor,
        b: Tensor,
        *,
        epochs: int = 100,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        cycle: float = 0.1,
        held_out: float = 0.2,
        patience: int = 15,
        seed: int = 0,
    ) -> Fit:
        """Learn from pairs (N, A), (N, B): the closed form first, then every parameter, as long as it helps held-out pairs.

        A share of `held_out` of the pairs, drawn by `seed`, says how long: training ends after `patience` epochs without a
        lower loss on them. Then it is learned anew from all pairs, as many epochs as were best - none where the closed form
        was. The same pairs and seed give the same weights on one machine. Left in eval mode.

        Raises:
            InputError: shapes that do not fit, or fewer than 10 pairs.
        """
        x, y = self._pairs(a, b)
        if len(x) < 10:
            raise InputError(f"at least 10 pairs are needed to learn from some and to judge by others, not {len(x)}")
        dice = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(x), generator=dice).to(x.device)
        judged = max(2, round(held_out * len(x)))
        learned, kept_back = order[:-judged], order[-judged:]
        initial = copy.deepcopy(self.state_dict())
        like = self.forwards

        def epochs_of(rows: Tensor) -> Iterator[float]:
            """Train on those rows from the beginning; after each epoch, its mean loss."""
            self.load_state_dict(initial)
            self.start(x[rows], y[rows])
            optimiser = self._optimiser(learning_rate, weight_decay)
            u, v = x.to(like), y.to(like)
            torch.manual_seed(seed)
            while True:
                self.train()
                total = 0.0
                for some in torch.split(rows[torch.randperm(len(rows)).to(rows.device)], batch_size):
                    optimiser.zero_grad(set_to_none=True)
                    loss = self.loss(u[some], v[some], cycle=cycle)
                    torch.autograd.backward(loss)
                    optimiser.step()
                    total += float(loss.detach()) * len(some)
                self.eval()
                yield total / len(rows)

        with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
            self.eval()
            others = x[kept_back].to(like), y[kept_back].to(like)
            self.start(x[learned], y[learned])
            start = best = self._judge(*others, cycle)
            reached, chosen, losses = self._reached(*others), 0, []
            for epoch, loss in zip(range(1, epochs + 1), epochs_of(learned), strict=False):
                losses.append((loss, self._judge(*others, cycle)))
                if losses[-1][1] < best:
                    best, chosen, reached = losses[-1][1], epoch, self._reached(*others)
                if epoch - chosen >= patience:
                    break
            self.load_state_dict(initial)
            self.start(x, y)
            for _ in zip(range(chosen), epochs_of(order), strict=False):
                pass
        self.eval()
        return Fit(start, best, chosen, losses, reached)

    def _optimiser(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        """Weight decay for the residual only: it would pull the turn towards nothing."""
        turn = [self.forwards, self.backwards, self.log_temperature]
        residual = [p for part in (self.residual_to_b, self.residual_to_a) if part is not None for p in part.parameters()]
        groups = [{"params": residual, "weight_decay": weight_decay}, {"params": turn, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups if residual else groups[1:], lr=learning_rate)

    @torch.no_grad()
    def _reached(self, a: Tensor, b: Tensor) -> dict[str, float]:
        return measures.recall(self.to_b(a), self.centred_b(b))

    @torch.no_grad()
    def _judge(self, a: Tensor, b: Tensor, cycle: float) -> float:
        """The loss at the temperature that suits these pairs best: a sharper or softer scale alone is no progress."""
        contrastive, lost = self._losses(a, b, torch.tensor(TEMPERATURES).to(a))
        return float(contrastive.min() + cycle * lost)

    def _losses(self, a: Tensor, b: Tensor, temperatures: Tensor) -> tuple[Tensor, Tensor]:
        """InfoNCE at each temperature (K,) -> (K,), and what the two ways there and back lose."""
        x, y = self.centred_a(a), self.centred_b(b)
        there, back = self.to_b(a), self.to_a(b)
        scores = (there @ y.T, back @ x.T)  # (N, N) each
        contrastive = torch.stack([(info_nce(scores[0] / t) + info_nce(scores[1] / t)) / 2 for t in temperatures])
        again_x = _through(there, self.backwards, self.residual_to_a)
        again_y = _through(back, self.forwards, self.residual_to_b)
        return contrastive, 2 - (again_x * x).sum(-1).mean() - (again_y * y).sum(-1).mean()

    def _pairs(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        if a.ndim != 2 or a.shape[1] != self.dim_a or b.shape != (len(a), self.dim_b) or len(a) < 2:
            raise InputError(
                f"pairs are rows (N, {self.dim_a}) and (N, {self.dim_b}), N at least 2, "
                f"not {tuple(a.shape)} and {tuple(b.shape)}"
            )
        return a.double(), b.double()


def info_nce(scores: Tensor) -> Tensor:
    """Of (N, N) scores where i belongs to i: the mean cross-entropy of rows and of columns."""
    right = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


def _through(x: Tensor, weight: Tensor, residual: nn.Sequential | None) -> Tensor:
    y = F.linear(x, weight)  # (..., A) -> (..., B)
    return unit(y if residual is None else y + residual(unit(y)))


def _centred(x: Tensor, mean: Tensor) -> Tensor:
    return unit(unit(x) - mean.to(x.dtype))


def _residual(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    last = nn.Linear(hidden, dim)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), last)
