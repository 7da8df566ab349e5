"""Pictures to the shared space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from multimodal.embeddings import models
from multimodal.embeddings._entry import unreadable
from multimodal.embeddings.conse import Vocabulary
from multimodal.embeddings.efficientnet import FEATURES
from multimodal.embeddings.likeness import OwnSpace
from multimodal.embeddings.runtime import Device, Runtime, open_runtime
from multimodal.errors import InputError
from multimodal.quality import image_quality
from multimodal.types import ModalityEmbedding, ModalityType

SIDE = 224
"""Pixels of the encoder's square; the whole picture is squeezed into it, so its cells tile the whole picture."""

GRID = (7, 7)
LABELS = 10


class ImageModalityEncoder:
    """Pictures, and 7x7 cells of each, as unit vectors of 384 dimensions (EfficientNet-Lite0, ConSE). Thread-safe.

    Args:
        device: "auto" | "cpu" | "cuda".
        runtime: runs the graph; opened from the pulled model where None.

    Raises:
        ModelMissingError: the model has not been pulled; the message says how.

    Attributes:
        vocabulary: the 1000 classes it can name.
        own: what ``metadata["native"]`` is of the features.
    """

    modality = ModalityType.IMAGE

    def __init__(self, *, device: Device = "auto", runtime: Runtime | None = None) -> None:
        self._runtime = runtime or open_runtime("efficientnet-lite0", device)
        self.vocabulary = Vocabulary.load(models.folder_of("efficientnet-lite0"))
        self.own = OwnSpace.shipped("image")
        self.fingerprint = f"{self.own.named(self._runtime.fingerprint)}/conse"

    def __call__(self, images: Any) -> Any:
        """One picture -> `ModalityEmbedding`; a list of pictures -> a list of them.

        A picture is RGB, uint8 or float in [0, 1] (what lies outside is clipped): (H, W, 3), (3, H, W) or (1, 3, H, W), an
        array or a tensor.

        Raises:
            InputError: no picture, an empty one, NaN in it.
        """
        if isinstance(images, (list, tuple)):
            return self.encode_batch([read_pixels(image) for image in images])
        return self.encode_batch([read_pixels(images)])[0]

    def encode_batch(self, items: Sequence[Any]) -> list[ModalityEmbedding]:
        """As many pictures as you like; one that cannot be read gives an entry with `error` and leaves the others alone."""
        results: list[ModalityEmbedding | None] = [None] * len(items)
        block = np.empty((len(items), SIDE, SIDE, 3), np.uint8)
        places: list[int] = []
        for i, item in enumerate(items):
            try:
                squeeze(read_pixels(item), block[len(places)])
                places.append(i)
            except InputError as error:
                results[i] = unreadable(self.modality, str(error), FEATURES)
        if not places:
            return [result for result in results if result is not None]
        block = block[: len(places)]
        embeddings, probabilities, native, cells = self._runtime(block)
        labels = self.vocabulary.top(probabilities, LABELS)
        rows = zip(
            places, block, labels,
            torch.from_numpy(embeddings).unbind(), torch.from_numpy(self.own(native)).unbind(),
            torch.from_numpy(cells).unbind(),
            strict=True,
        )  # fmt: skip
        for i, pixels, named, vector, own, grid in rows:
            quality = image_quality(pixels)
            metadata = {"native": own, "labels": named, "grid": GRID, "quality": quality}
            results[i] = ModalityEmbedding(self.modality, vector, grid, metadata, quality["quality"], named[0][1])
        return [result for result in results if result is not None]


def read_pixels(image: Any) -> NDArray[np.uint8]:
    """Any accepted form -> uint8 (H, W, 3)."""
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = (image.float() if image.dtype is torch.bfloat16 else image).numpy()
    if not isinstance(image, np.ndarray):
        raise InputError(f"a picture is an array or a tensor, not {type(image).__name__}")
    shape = image.shape
    if image.ndim == 4 and shape[0] == 1:
        image = image[0]
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        image = image.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"a picture is (H, W, 3), (3, H, W) or (1, 3, H, W), not {shape}")
    if 0 in image.shape:
        raise InputError(f"the picture is empty: {shape}")
    if image.dtype == np.uint8:
        return cast(NDArray[np.uint8], image)
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"a picture is uint8 or float in [0, 1], not {image.dtype}")
    image = np.clip(image.astype(np.float32, copy=False), 0.0, 1.0)  # infinities are clipped, NaN stays
    if np.isnan(image).any():
        raise InputError("the picture holds NaN")
    scaled: NDArray[np.uint8] = np.rint(image * 255).astype(np.uint8)
    return scaled


def squeeze(pixels: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """The whole picture into `out` (a square): halved by averaging while that leaves enough, then interpolated.

    As free of aliasing as averaging straight to the size, and ten times faster, because only halving has a fast path. An odd
    last row or column is lost at each halving.
    """
    import cv2

    side = out.shape[0]
    try:
        pixels = np.ascontiguousarray(pixels)
        while min(pixels.shape[:2]) >= 2 * side:
            height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
            even = pixels[: 2 * height, : 2 * width]
            pixels = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if pixels.shape[:2] == (side, side):
            out[:] = pixels
        else:
            cv2.resize(pixels, (side, side), dst=out, interpolation=cv2.INTER_LINEAR)
    except cv2.error as error:
        raise InputError(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} cannot be resized: {error}") from error
