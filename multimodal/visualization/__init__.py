"""Attention, contributions and whole sequences of moments as pictures and pages. Without a display, without a network.

| file | what it draws |
|---|---|
| `heatmap` | who attends to what, one panel a head |
| `overlay` | where in a picture the attention lies |
| `charts` | what each modality contributed, at one moment or over many |
| `statistics` | how sharp attention is: entropy, effective number of keys, distribution |
| `explorer` | a page to walk through a sequence of windows |
| `report` | one page with all of it |

`AttentionVisualizer` puts them into one folder. Colours can be told apart with any colour vision (Okabe and Ito's palette,
the maps "cividis" and "viridis"), and pictures can be written as vectors (``format="svg"``).
"""

from multimodal.visualization.explorer import Moment
from multimodal.visualization.statistics import AttentionStatistics, attention_statistics
from multimodal.visualization.visualizer import AttentionVisualizer

__all__ = ["AttentionStatistics", "AttentionVisualizer", "Moment", "attention_statistics"]
