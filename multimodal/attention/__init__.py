"""Attention within one modality and between two; all of it calls `core.attend`."""

from multimodal.attention.core import attend
from multimodal.attention.cross_modal import CrossModalAttention
from multimodal.attention.entmax import entmax15
from multimodal.attention.multi_head import MultiHeadCrossModalAttention
from multimodal.attention.patterns import Pattern, named
from multimodal.attention.self_attention import SelfAttention

__all__ = [
    "CrossModalAttention",
    "MultiHeadCrossModalAttention",
    "Pattern",
    "SelfAttention",
    "attend",
    "entmax15",
    "named",
]
