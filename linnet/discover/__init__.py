"""From coarse classes to proposed fine ones: clusters of embeddings within every coarse class, and what follows.

`discover` proposes, `Discovery` holds, `rename`, `merge`, `split` and `move` correct, `to_manifest` turns named
clusters into labels to train on, `score` measures against fine labels where some are known.
"""

from __future__ import annotations

from linnet.discover.edits import merge, move, rename, split
from linnet.discover.find import discover
from linnet.discover.model import Cluster, Discovery
from linnet.discover.names import Labelled, read_names, to_manifest, write_names
from linnet.discover.score import Scores, score
from linnet.discover.settings import Settings
from linnet.discover.store import open_discovery, save_discovery
from linnet.discover.subjects import Subjects

__all__ = [
    "Cluster",
    "Discovery",
    "Labelled",
    "Scores",
    "Settings",
    "Subjects",
    "discover",
    "merge",
    "move",
    "open_discovery",
    "read_names",
    "rename",
    "save_discovery",
    "score",
    "split",
    "to_manifest",
    "write_names",
]
