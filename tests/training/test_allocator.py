"""Freed memory stays with the process, unless its user has settings of his own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from linnet.training import allocator
from linnet.training.allocator import keep_freed_memory

COUNT_FAULTS = """
import resource, torch
from linnet.training.allocator import keep_freed_memory
torch.set_num_threads(1)
told = {told}
def step():
    torch.ones(16 << 20).sum()  # 64 MB, above what malloc keeps by itself
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
step()
print(told, min(faults() for _ in range(5)))  # the second may still grow the heap, around a small block
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_steps_soon_fetch_no_pages() -> None:
    faults = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    for told in ("keep_freed_memory()", "False"):
        command = [sys.executable, "-c", COUNT_FAULTS.replace("{told}", told)]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        assert said[0] == str(told != "False")
        faults.append(int(said[1]))
    assert faults[0] * 20 < faults[1]


def test_a_users_own_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    assert not keep_freed_memory()
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1000")
    assert not keep_freed_memory()


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
