"""Encoders from checkpoints of others: a folder on this disk, or a name on the hub.

| what it is | text | picture | sound |
|---|---|---|---|
| CLIP, SigLIP, SigLIP 2 | yes | yes | |
| CLAP, PE-A, the sound side of PE-AV | yes | | yes |
| any sentence-transformers model | yes | | |

Weights are read from safetensors only, code from nowhere: a checkpoint that needs its own code is refused. Everything is
read from one folder, so a name on the hub is first brought there whole (or not at all, with ``local_files_only``).
"""

from multimodal.embeddings.hub.encoders import open_encoder

__all__ = ["open_encoder"]
