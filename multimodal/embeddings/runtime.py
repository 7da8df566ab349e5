"""One seam, two runtimes: OpenVINO on the CPU, torch where CUDA is.

On the CPU a row's bits do not depend on what else is in its batch (tested for batches of 1, 3 and 32). Torch does not
promise that, neither on CUDA nor on the CPU, and the CUDA path has not been measured: same weights, same graph.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings import models
from multimodal.embeddings._openvino import openvino
from multimodal.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Arrays = tuple[NDArray[np.float32], ...]


class Runtime(Protocol):
    """Runs one graph. Thread-safe."""

    fingerprint: str
    """Model, weights, precision, runtime, version and instruction set: the identity of the numbers."""

    def __call__(self, rows: NDArray[Any]) -> Arrays:
        """(N, ...) -> the graph's outputs, each (N, ...), float32, owned by the caller; any N > 0."""
        ...


def open_runtime(name: str, device: Device = "auto", *, batch: int = 32, mixed_precision: bool = True) -> Runtime:
    """The runtime of a converted model: torch where CUDA is there and wanted, else OpenVINO on the CPU.

    Args:
        name: in the table of models.
        device: "auto" takes CUDA where torch sees it.
        batch: rows in one call at most; more are split. It changes the speed, not the numbers.
        mixed_precision: multiply in 16 bits where the device does (`low_precision`); else all is float32.

    Raises:
        ModelMissingError: the model is not on this disk.
        ConfigError: "cuda" without CUDA, or an unknown device.
    """
    if device not in get_args(Device):
        raise ConfigError(f"device is {device!r}, expected one of {', '.join(get_args(Device))}")
    folder = models.folder_of(name)
    if device != "cpu" and torch.cuda.is_available():
        return TorchRuntime(name, folder, "cuda", batch=batch, mixed_precision=mixed_precision)
    if device == "cuda":
        raise ConfigError("device is 'cuda', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    return OpenVinoRuntime(name, folder, batch=batch, mixed_precision=mixed_precision)


def low_precision(device: str) -> str | None:
    """What "cpu" or "cuda" multiplies in 16 bits: "bf16", "f16", or None where nothing would be gained."""
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "f16"
    return "bf16" if "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else None


class OpenVinoRuntime:
    """A converted graph on the CPU: float32, or bfloat16 where the CPU multiplies it (AMX, AVX512-BF16).

    Compiled graphs are cached beside the models, so that only the first start compiles.
    """

    def __init__(self, name: str, folder: Path, *, batch: int = 32, mixed_precision: bool = True) -> None:
        ov = openvino()

        core = _core()
        precision = (low_precision("cpu") if mixed_precision else None) or "f32"
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",  # one stream over all cores; measured faster than two streams of one core each
            "INFERENCE_PRECISION_HINT": precision,
        }
        if os.access(folder, os.W_OK):  # a service may read models that it cannot write beside
            options["CACHE_DIR"] = str(folder / "compiled")
        self._compiled = core.compile_model(str(folder / "model.xml"), "CPU", options)
        self._batch = batch
        self._idle: list[Any] = []  # infer requests that no thread is using
        self._lock = threading.Lock()
        with _first:
            self._run(_smallest(self._compiled.input(0)))
        self.fingerprint = "/".join(
            [_identity(name, folder), precision, f"openvino-{ov.__version__.split('-')[0]}", instruction_set()]
        )

    def __call__(self, rows: NDArray[Any]) -> Arrays:
        return _in_batches(self._run, rows, self._batch)

    def _run(self, rows: NDArray[Any]) -> Arrays:
        with self._lock:
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        try:
            request.infer([rows], share_inputs=True)
            return tuple(request.get_output_tensor(i).data.copy() for i in range(len(self._compiled.outputs)))
        finally:
            with self._lock:
                self._idle.append(request)


class TorchRuntime:
    """The same graph in torch: float32, or on CUDA under autocast. Not measured on CUDA; on the CPU equal to the other within
    1e-3 (tested)."""

    def __init__(
        self, name: str, folder: Path, device: str, *, batch: int = 32, mixed_precision: bool = False
    ) -> None:
        from multimodal.embeddings.graphs import load_graph

        self._graph = load_graph(name, folder).to(device)
        self._device = device
        self._batch = batch
        precision = (low_precision(device) if mixed_precision else None) or "f32"
        self._dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
        where = torch.cuda.get_device_name() if device == "cuda" else instruction_set()
        self.fingerprint = "/".join([_identity(name, folder), precision, f"torch-{torch.__version__}", where])

    def __call__(self, rows: NDArray[Any]) -> Arrays:
        return _in_batches(self._run, rows, self._batch)

    def _run(self, rows: NDArray[Any]) -> Arrays:
        held = torch.from_numpy(np.ascontiguousarray(rows)).to(self._device)
        with torch.inference_mode(), torch.autocast(self._device, self._dtype, enabled=self._dtype is not None):
            outputs = self._graph(held)
        return tuple(output.float().cpu().numpy() for output in outputs)


def _in_batches(run: Callable[[NDArray[Any]], Arrays], rows: NDArray[Any], size: int) -> Arrays:
    """`run` over slices of at most `size` rows, its outputs joined."""
    if len(rows) <= size:
        return run(rows)
    parts = [run(rows[i : i + size]) for i in range(0, len(rows), size)]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


_first = threading.Lock()
"""Held by a runtime's first inference: the binding sets itself up in the first one, and two threads that get there at the
same moment wait for each other for ever, one with the interpreter's lock and one with the binding's (seen with 2026.4)."""


def _smallest(port: Any) -> NDArray[Any]:
    """Zeros of the shape that a graph's input asks for, with 1 for what may vary."""
    shape = [dimension.get_length() if dimension.is_static else 1 for dimension in port.get_partial_shape()]
    return np.zeros(shape, port.get_element_type().to_dtype())


@cache
def _core() -> Any:
    """One for the life of the process.

    Its CPU plugin gives the thread that makes it an alternate signal stack, and takes the memory away with it, after
    which the next signal that Python handles would end the process (seen with OpenVINO 2026.4).
    """
    ov = openvino()

    return ov.Core()


def instruction_set() -> str:
    """The widest vector instructions of this CPU that change how sums are rounded, such as ``x86_64-avx2``."""
    machine = platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return machine
    flags = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "sve", "asimd"):
        if flag in flags:
            return f"{machine}-{flag}"
    return machine


def _identity(name: str, folder: Path) -> str:
    """The name and the first digits of the converted weights' hash."""
    return f"{name}@{str(models.describe(folder).get('weights', ''))[:12]}"
