"""A manifest's images as batches: decoding, augmentation, the two roads, and the check for broken files."""

from __future__ import annotations

from linnet.images.check import check_images
from linnet.images.loader import Batch, ImageSource, Road
from linnet.images.photos import load_images
from linnet.images.preprocessing import Augmentation, Preprocessing

__all__ = ["Augmentation", "Batch", "ImageSource", "Preprocessing", "Road", "check_images", "load_images"]
