"""Fusion of the streams of one window, or of any modalities, into one vector."""

from multimodal.fusion.adaptive import AdaptiveFusion
from multimodal.fusion.bilinear import BilinearFusion
from multimodal.fusion.contributions import leave_one_out, rank_agreement
from multimodal.fusion.early import EarlyFusion
from multimodal.fusion.hierarchical import HierarchicalFusion
from multimodal.fusion.late import LateFusion
from multimodal.fusion.learned import LearnedFusion
from multimodal.fusion.mean import MeanFusion
from multimodal.fusion.modulation import GradientModulation
from multimodal.fusion.saved import STRATEGIES, load_fusion, save_fusion
from multimodal.fusion.window import FusionResult, Window, WindowFusion

__all__ = [
    "STRATEGIES",
    "AdaptiveFusion",
    "BilinearFusion",
    "EarlyFusion",
    "FusionResult",
    "GradientModulation",
    "HierarchicalFusion",
    "LateFusion",
    "LearnedFusion",
    "MeanFusion",
    "Window",
    "WindowFusion",
    "leave_one_out",
    "load_fusion",
    "rank_agreement",
    "save_fusion",
]
