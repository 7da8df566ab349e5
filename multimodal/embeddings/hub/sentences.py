"""Texts by any model in the sentence-transformers format: a transformer, a pooling, and what may follow.

The format (`modules.json`) is a list of modules, each a class name and a folder. Transformer, Pooling, Dense and Normalize
are known; together they make up nearly all published models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from multimodal.embeddings.hub.batches import by_length
from multimodal.embeddings.hub.checkpoint import Checkpoint, read_json
from multimodal.errors import ModelFetchError

Step = Callable[[Tensor], Tensor]


class SentenceTower:
    """One text at a time to a vector and its tokens: a row never depends on its neighbours. Thread-safe.

    Attributes:
        width: D of the vectors.
        max_tokens: what is longer is cut.
    """

    def __init__(self, checkpoint: Checkpoint, max_tokens: int) -> None:
        modules = [(entry["type"].rsplit(".", 1)[-1], entry["path"]) for entry in _list(checkpoint)]
        kinds = [kind for kind, _ in modules]
        if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Dense", "Normalize"}:
            raise ModelFetchError(
                f"{checkpoint.name} consists of {', '.join(kinds)}; known are Transformer, Pooling, then Dense or Normalize"
            )
        self._tokenizer = checkpoint.load("AutoTokenizer")
        self._model = checkpoint.model()
        self._device = checkpoint.device
        self._prompt = _prompt(checkpoint)
        self._pooling = _modes(checkpoint, modules[1][1], prompted=bool(self._prompt))
        self._steps = [_step(checkpoint, kind, path) for kind, path in modules[2:]]
        own = checkpoint.folder / "sentence_bert_config.json"
        settings = read_json(own) if own.is_file() else {}
        limits = (max_tokens, settings.get("max_seq_length"), getattr(self._model.config, "max_position_embeddings", None))
        self.max_tokens = min(int(limit) for limit in limits if limit)
        self._lower = bool(settings.get("do_lower_case"))
        self.width = int(self("a")[0].shape[0])

    @torch.inference_mode()
    def __call__(self, text: str) -> tuple[Tensor, Tensor]:
        """-> the vector (D,) and its tokens (T, F), both float32."""
        tokens = self._model(self._ids(text)).last_hidden_state[0].float()  # (1, T, F) -> (T, F)
        return self._vector(tokens), tokens

    @torch.inference_mode()
    def many(self, texts: Sequence[str]) -> Tensor:
        """(N, D), those of one length read together: faster, and the last bits of a row may differ from its own alone."""

        def read(ids: Tensor) -> Tensor:
            tokens = self._model(ids).last_hidden_state.float()  # (n, T, F)
            return torch.stack([self._vector(row) for row in tokens])

        return by_length([self._ids(text) for text in texts], read)

    def _ids(self, text: str) -> Tensor:
        text = self._prompt + text
        text = text.lower() if self._lower else text
        ids: Tensor = self._tokenizer(text, truncation=True, max_length=self.max_tokens, return_tensors="pt").input_ids
        return ids.to(self._device)

    def _vector(self, tokens: Tensor) -> Tensor:
        """(T, F) -> (D,)"""
        vector = torch.cat([pool(tokens) for pool in self._pooling])
        for step in self._steps:
            vector = step(vector)
        return vector


def _weighted(tokens: Tensor) -> Tensor:
    """Mean with weights 1, 2, ... T: later tokens have seen more."""
    weights = torch.arange(1, len(tokens) + 1, device=tokens.device, dtype=tokens.dtype)
    return weights @ tokens / weights.sum()  # (T,) @ (T, F) -> (F,)


_POOLINGS: dict[str, Step] = {
    "pooling_mode_cls_token": lambda tokens: tokens[0],
    "pooling_mode_max_tokens": lambda tokens: tokens.amax(0),
    "pooling_mode_mean_tokens": lambda tokens: tokens.mean(0),
    "pooling_mode_mean_sqrt_len_tokens": lambda tokens: tokens.sum(0) / len(tokens) ** 0.5,
    "pooling_mode_weightedmean_tokens": _weighted,
    "pooling_mode_lasttoken": lambda tokens: tokens[-1],
}
"""(T, F) -> (F,), in the order in which the format joins them; there is no padding, since a text is read alone."""


def _modes(checkpoint: Checkpoint, path: str, *, prompted: bool) -> list[Step]:
    chosen = read_json(checkpoint.folder / path / "config.json")
    poolings = [pool for name, pool in _POOLINGS.items() if chosen.get(name)]
    if not poolings:
        raise ModelFetchError(f"{checkpoint.name} names no pooling of {', '.join(_POOLINGS)}")
    if prompted and not chosen.get("include_prompt", True):
        raise ModelFetchError(f"{checkpoint.name} leaves its prompt out of the pooling, which is not known here")
    return poolings


def _step(checkpoint: Checkpoint, kind: str, path: str) -> Step:
    if kind == "Normalize":
        return lambda vector: F.normalize(vector, dim=0)
    folder = checkpoint.folder / path
    settings = read_json(folder / "config.json")
    name = str(settings.get("activation_function", "")).rsplit(".", 1)[-1]
    if name not in {"Identity", "Tanh", "ReLU", "GELU"}:
        raise ModelFetchError(f"{checkpoint.name}: a Dense module with activation {name!r} is not known")
    try:
        weights = load_file(folder / "model.safetensors")
    except OSError as error:
        raise ModelFetchError(f"{checkpoint.name}: the Dense module's model.safetensors cannot be read: {error}") from error
    weight, bias = (weights[key].float().to(checkpoint.device) if key in weights else None
                    for key in ("linear.weight", "linear.bias"))  # fmt: skip
    if weight is None:
        raise ModelFetchError(f"{checkpoint.name}: the Dense module has no linear.weight")
    activation: nn.Module = getattr(nn, name)()
    return lambda vector: activation(F.linear(vector, weight, bias))


def _prompt(checkpoint: Checkpoint) -> str:
    """What is put before every text: the model's default prompt, if it has one."""
    path = checkpoint.folder / "config_sentence_transformers.json"
    settings = read_json(path) if path.is_file() else {}
    prompts: dict[str, str] = settings.get("prompts") or {}
    return prompts.get(settings.get("default_prompt_name") or "", "")


def _list(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    path = checkpoint.folder / "modules.json"
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(modules, list) and all({"type", "path"} <= set(entry) for entry in modules):
            return modules
    except (OSError, ValueError, TypeError) as error:
        raise ModelFetchError(f"{path} cannot be read: {error}") from error
    raise ModelFetchError(f"{path} is no list of modules, each with type and path")
