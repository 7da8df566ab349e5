"""Self-supervised training of a fusion: what was seen, heard and said at one moment belongs together.

`Gathering` makes `Moments` of windows, `split_by_time` holds time back, `FusionTraining` trains the residual of one of the
five strategies by masked-modality prediction, `find` and `compare` say whether it is better than what there was; `learn` is
all of it, and keeps what is better.
"""

from multimodal.training.card import Lesson, Origin
from multimodal.training.judging import Found, Verdict, compare, find, table
from multimodal.training.lesson import learn, weights_in
from multimodal.training.moments import Gathering, Moments, Split, from_vectors, split_by_time
from multimodal.training.objective import fused, loss
from multimodal.training.training import Epoch, FusionTraining, Settings

__all__ = [
    "Epoch",
    "Found",
    "FusionTraining",
    "Gathering",
    "Lesson",
    "Moments",
    "Origin",
    "Settings",
    "Split",
    "Verdict",
    "compare",
    "find",
    "from_vectors",
    "fused",
    "learn",
    "loss",
    "split_by_time",
    "table",
    "weights_in",
]
