"""Fusion of the streams of one window, or of any modalities, into one vector."""

from multimodal.fusion.adaptive import AdaptiveFusion
from multimodal.fusion.bilinear import BilinearFusion
from multimodal.fusion.early import EarlyFusion
from multimodal.fusion.hierarchical import HierarchicalFusion
from multimodal.fusion.late import LateFusion
from multimodal.fusion.mean import MeanFusion
from multimodal.fusion.window import FusionResult, Window, WindowFusion

__all__ = [
    "AdaptiveFusion",
    "BilinearFusion",
    "EarlyFusion",
    "FusionResult",
    "HierarchicalFusion",
    "LateFusion",
    "MeanFusion",
    "Window",
    "WindowFusion",
]
