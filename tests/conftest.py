"""What all tests share: threads, real images if LINNET_DATA names them, and a loud line if it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test needs a network
os.environ.setdefault("MPLBACKEND", "agg")  # nor a display
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin crawl where cores are shared

import pytest
import torch
from hypothesis import settings

_UNSET = "LINNET_DATA is unset: it names a folder of unpacked data sets"

# Tests that are shared out to processes have a thread each.
_THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
torch.set_num_threads(int(os.environ.get("LINNET_TEST_THREADS", _THREADS)))
settings.register_profile("linnet", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("linnet")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of unpacked public data sets; skips, loudly, where there is none."""
    named = os.environ.get("LINNET_DATA", "")
    if not named:
        pytest.skip(_UNSET)
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"LINNET_DATA={named} is no folder", pytrace=False)
    return folder


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """A test that changes torch's threads changes them for itself alone."""
    threads = torch.get_num_threads()
    yield
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests on real images did not run."""
    skipped = terminalreporter.stats.get("skipped", [])
    missed = sum(isinstance(report.longrepr, tuple) and _UNSET in report.longrepr[2] for report in skipped)
    if missed:
        message = f"{missed} tests on real images were SKIPPED, because {_UNSET}"
        terminalreporter.write_sep("!", message, yellow=True, bold=True)
