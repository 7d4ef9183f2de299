"""The machine and the versions that a run was made with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = ["environment"]

_PARTS = ("linnet", "torch", "torchvision", "timm", "numpy", "pillow", "simplejpeg")


def environment(device: torch.device) -> dict[str, Any]:
    """`machine` (processor or GPU, cores, torch's threads) and `versions`; no host or user name."""
    machine = f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        machine = f"{torch.cuda.get_device_name(device)}; {machine}"
    versions = {"python": platform.python_version()}
    for name in _PARTS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"machine": machine, "versions": versions}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
