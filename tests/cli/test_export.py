"""`linnet export` on the command line, as a user would."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from linnet.cli.app import app
from linnet.export import from_pretrained
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "instance"
    recipe = tiny_recipe(method="instance", epochs=1, select_on="last", validation=0.0)
    train(recipe, folder, tiny_manifest(), progress=False)
    return folder


def test_both_formats_on_own_images(run: Path, tmp_path: Path) -> None:
    pixels = tiny_manifest().pixels
    assert pixels is not None
    for number in range(3):
        Image.fromarray(pixels[number]).save(tmp_path / f"{number}.png")
    done = call("export", run, "--images", f"{tmp_path}/[01].png", "--images", tmp_path / "2.png", "--uint8")
    assert done.exit_code == 0, done.output
    assert "against torch on 3 images: largest difference embedding" in done.output
    assert "the method names none" in done.output and "opset" in done.output
    assert sorted(each.name for each in (run / "export").iterdir()) == [
        *("README.md", "classes.json", "config.json", "model.json", "model.onnx", "model.safetensors")
    ]
    assert from_pretrained(run / "export").card["method"] == "instance"


def test_safetensors_alone_needs_no_images(run: Path, tmp_path: Path) -> None:
    done = call("export", run, "--format", "safetensors", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out/model.onnx").exists() and (tmp_path / "out/README.md").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--images", "absent.png"], "no such file or folder"),
        ([], "name its folder by --root, or other images by --images"),
        (["--members", "2"], "is no ensemble"),
    ],
)
def test_mistakes_are_one_message(run: Path, arguments: list[str], part: str) -> None:
    done = call("export", run, *arguments)
    assert done.exit_code == 2
    assert part in done.output.replace("\n", " ") and "Traceback" not in done.output
