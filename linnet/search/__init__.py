"""Embeddings on disk, and the nearest of them: an index of a collection of images."""

from __future__ import annotations

from linnet.search.build import build_index
from linnet.search.index import Hits, Index

__all__ = ["Hits", "Index", "build_index"]
