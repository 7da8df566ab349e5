"""Attention within one modality and between two; all of it calls `core.attend`."""

from multimodal.attention.biological import BiologicalAttention
from multimodal.attention.co_attention import CoAttention
from multimodal.attention.core import attend
from multimodal.attention.cross_modal import CrossModalAttention
from multimodal.attention.entmax import entmax15
from multimodal.attention.multi_head import MultiHeadCrossModalAttention
from multimodal.attention.patterns import Pattern, named
from multimodal.attention.self_attention import SelfAttention

__all__ = [
    "BiologicalAttention",
    "CoAttention",
    "CrossModalAttention",
    "MultiHeadCrossModalAttention",
    "Pattern",
    "SelfAttention",
    "attend",
    "entmax15",
    "named",
]
