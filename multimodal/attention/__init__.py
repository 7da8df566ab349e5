"""Attention within one modality and between two; all of it calls `core.attend`."""
