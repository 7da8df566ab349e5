"""A similarity that is learned from pairs: which directions of a space matter when one thing is asked for by another.

    s(q, x) = cos(W q, x)        W = diag(d) + U V^T        D dimensions, rank R << D

Only the question is moved: nothing that is indexed changes when W is learned anew, and ranking by s is ranking by the
bilinear form q^T W^T x (Chechik et al., JMLR 11, 2010). W starts as the identity, s as the plain cosine, and both stay so
where pairs that were held out do not get better.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.errors import ConfigError, InputError

LEAST = 20
"""Pairs needed at least, to learn from some and to judge by others."""


LARGEST = 1024
"""Pairs that the temperature is fitted to at most."""


@dataclass(frozen=True, slots=True)
class SimilarityFit:
    """What `LearnedSimilarity.fit` did, by pairs that it did not learn from.

    Attributes:
        pairs: held out. kept: whether what was learned is used; if not, all is as before.
        rank_before, rank_after: mean reciprocal rank of the right answer among the held-out ones, in (0, 1].
        error: standard error of the difference of the two.
        loss_before, loss_after: InfoNCE of them, in nats.
        epoch: that was the best.
    """

    pairs: int
    kept: bool
    rank_before: float
    rank_after: float
    error: float
    loss_before: float
    loss_after: float
    epoch: int


class LearnedSimilarity(nn.Module):
    """W of the formula above.

    Args:
        dimension: D. rank: R; 0 learns d alone.

    Raises:
        ConfigError: other values than whole numbers, D above 0 and R in [0, D].
    """

    def __init__(self, dimension: int, rank: int = 16) -> None:
        super().__init__()
        if not (isinstance(dimension, int) and isinstance(rank, int)) or dimension < 1 or not 0 <= rank <= dimension:
            raise ConfigError(f"dimension is a whole number above 0 and rank from 0 to it, not {dimension!r} and {rank!r}")
        self.scale = nn.Parameter(torch.ones(dimension))  # d (D,)
        self.up = nn.Parameter(torch.zeros(dimension, rank))  # U (D, R)
        self.down = nn.Parameter(torch.randn(dimension, rank, generator=torch.Generator().manual_seed(0)) / dimension**0.5)
        self.log_temperature = nn.Parameter(torch.tensor(0.05).log())

    def forward(self, questions: Tensor) -> Tensor:
        """(..., D) -> W q (..., D), unit vectors: compare them by cosine with what is indexed."""
        q = F.normalize(questions, dim=-1)
        scale, up, down = (one.to(q.dtype) for one in (self.scale, self.up, self.down))
        return F.normalize(q * scale + (q @ down) @ up.T, dim=-1)

    def fit(
        self,
        questions: Tensor,
        answers: Tensor,
        *,
        epochs: int = 200,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        decay: float = 1.0,
        held_out: float = 0.25,
        patience: int = 20,
        seed: int = 0,
    ) -> SimilarityFit:
        """From pairs (N, D), (N, D): row i of `answers` is right for row i of `questions`, wrong for the others (InfoNCE;
        van den Oord et al., arXiv:1807.03748).

        The last `held_out` of the pairs, shuffled by `seed`, are only judged by; equal answers must not lie in both parts, or
        the judgement is too kind. W is pulled towards what it was by `decay` times |W - W0|^2 / N; the temperature is first
        fitted by itself, so that W has no part in it. The epoch with the lowest loss on the held-out pairs is kept if their
        mean reciprocal rank grew by more than 1.64 of its standard errors (one-sided 5 %), else nothing changes. Same pairs
        and seed, same weights on one machine. Left in eval mode.

        Raises:
            InputError: shapes that do not fit, or fewer than `LEAST` pairs.
        """
        size = len(self.scale)
        if questions.ndim != 2 or questions.shape[1] != size or answers.shape != questions.shape:
            raise InputError(f"pairs are rows (N, {size}) twice, not {tuple(questions.shape)} and {tuple(answers.shape)}")
        if len(questions) < LEAST:
            raise InputError(f"{LEAST} pairs are needed at least, to learn from some and judge, not {len(questions)}")
        x, y = questions.detach().to(self.scale), F.normalize(answers.detach().to(self.scale), dim=1)
        dice = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(x), generator=dice).to(x.device)
        judged = max(5, round(held_out * len(x)))
        learned, kept_back = order[:-judged], order[-judged:]
        before = state = copy.deepcopy(self.state_dict())
        self._fit_temperature(x[learned], y[learned])
        loss_before, ranks_before = self._judge(x[kept_back], y[kept_back])
        best, best_ranks, chosen = loss_before, ranks_before, 0
        optimiser = torch.optim.Adam(self.parameters(), lr=learning_rate)
        with torch.enable_grad():
            for epoch in range(1, epochs + 1):
                self.train()
                for rows in torch.split(learned[torch.randperm(len(learned), generator=dice).to(x.device)], batch_size):
                    if len(rows) < 2:
                        continue
                    optimiser.zero_grad(set_to_none=True)
                    moved = (self.scale - before["scale"]).square().sum() + self._moved(before)
                    (self._loss(x[rows], y[rows]) + decay * moved / len(learned)).backward()
                    optimiser.step()
                loss, ranks = self._judge(x[kept_back], y[kept_back])
                if loss < best:
                    best, best_ranks, chosen, state = loss, ranks, epoch, copy.deepcopy(self.state_dict())
                if epoch - chosen >= patience:
                    break
        gain = best_ranks - ranks_before
        error = float(gain.std() / judged**0.5)
        kept = chosen > 0 and float(gain.mean()) > 1.64 * error
        self.load_state_dict(state if kept else before)
        self.eval()
        return SimilarityFit(
            judged, kept, float(ranks_before.mean()), float(best_ranks.mean()), error, loss_before, best, chosen
        )

    def _moved(self, before: dict[str, Tensor]) -> Tensor:
        """|U V^T - U0 V0^T|^2 without a (D, D) matrix."""
        up = torch.cat((self.up, before["up"]), 1)  # (D, R), (D, R) -> (D, 2R)
        down = torch.cat((self.down, -before["down"]), 1)
        return ((up.T @ up) * (down.T @ down)).sum()

    def _loss(self, questions: Tensor, answers: Tensor) -> Tensor:
        scores = self(questions) @ answers.T / self.log_temperature.exp().clamp(min=0.01)  # (N, N)
        return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))

    @torch.no_grad()
    def _fit_temperature(self, questions: Tensor, answers: Tensor) -> None:
        """The one with the lowest loss, of 40 from .01 to 3."""
        tried = torch.logspace(-2, 0.5, 40).log()
        losses = []
        for value in tried:
            self.log_temperature.copy_(value)
            losses.append(float(self._loss(questions[:LARGEST], answers[:LARGEST])))
        self.log_temperature.copy_(tried[min(range(len(losses)), key=losses.__getitem__)])

    @torch.no_grad()
    def _judge(self, questions: Tensor, answers: Tensor) -> tuple[float, Tensor]:
        """Loss, and the reciprocal rank of each right answer (N,)."""
        self.eval()
        scores = self(questions) @ answers.T  # (N, N)
        own = scores.diagonal()[:, None]
        places = (scores >= own).sum(1)  # itself among them: counts from 1, ties against it
        return float(self._loss(questions, answers)), 1.0 / places
