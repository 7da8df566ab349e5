"""Fusion of the streams of one window into one vector."""

from multimodal.fusion.mean import MeanFusion
from multimodal.fusion.window import FusionResult, Window, WindowFusion

__all__ = ["FusionResult", "MeanFusion", "Window", "WindowFusion"]
