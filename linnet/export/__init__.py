"""A run as files that others take: ONNX, checked against torch, and a folder for the Hugging Face hub."""

from __future__ import annotations

from linnet.export.graph_file import export_onnx
from linnet.export.pretrained import from_pretrained, save_pretrained

__all__ = ["export_onnx", "from_pretrained", "save_pretrained"]
