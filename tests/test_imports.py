"""`import linnet` and `linnet --help` are quick, because they load no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "accelerate", "sklearn", "matplotlib")
REPORT = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"


def loaded(code: str) -> str:
    """The last line that a fresh interpreter prints: the heavy modules it has loaded after `code`."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{REPORT}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import linnet",
        "import linnet.taxonomy, linnet.manifest, linnet.files, linnet.errors, linnet.randomness",
        "import linnet.datasets",
        "import linnet.recipes; [linnet.recipes.load_recipe(name) for name in linnet.recipes.list_recipes()]",
    ],
)
def test_import_is_light(code: str) -> None:
    assert loaded(code) == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["recipes"], ["evaluate", "--help"]])
def test_command_line_is_light(arguments: list[str]) -> None:
    run = f"from linnet.cli import main\ntry: main({arguments!r})"
    code = f"{run}\nexcept SystemExit as end: assert not end.code"
    assert loaded(code) == "[]"
