"""`linnet export`: a run as ONNX and as a folder for the Hugging Face hub."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.console import tell
from linnet.errors import RunError

if TYPE_CHECKING:
    from linnet.training.run import Run

__all__ = ["export", "register"]

_COUNT = 32


class _Format(Enum):
    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default RUN/export.")] = None,
    kind: Annotated[
        _Format,
        typer.Option("--format", help="An ONNX graph, a safetensors folder with a model card, or both in one folder."),
    ] = _Format.ALL,
    images: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare the graph with torch on these, a file, folder or pattern, once or several times; by default "
            "on some of the run's own test images."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="On how many images at most.")] = _COUNT,
    uint8: Annotated[
        bool, typer.Option("--uint8", help="The graph takes pixels, uint8 (B, S, S, 3), and normalises them itself.")
    ] = False,
    license: Annotated[
        str | None, typer.Option(help="What the model card states, such as apache-2.0; by default nothing.")
    ] = None,
    members: Annotated[int | None, typer.Option(min=1, help="Of an ensemble, its first members only.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the run's data set.")] = None,
) -> None:
    """Write a trained run as files for other programs, checked against torch on real images."""
    from linnet.export import save_pretrained
    from linnet.training.run import Run

    opened = Run.open(run, members)
    if root is not None:
        opened.recipe = opened.recipe.change(root=root)
    folder = out or run / "export"
    if kind is not _Format.SAFETENSORS:
        _graph(opened, folder, images or [], count, uint8)
    if kind is not _Format.ONNX:
        save_pretrained(opened, folder, license=license)
        tell(f"safetensors: {folder}/model.safetensors, with config.json, classes.json and the model card README.md")


def _graph(run: Run, folder: Path, given: list[str], count: int, uint8: bool) -> None:
    """Write the graph and tell how it compares.

    Raises:
        RunError: there are no images to compare on.
    """
    from linnet.engines.graph import OPSET
    from linnet.errors import LinnetError
    from linnet.explain.inputs import draw, find_images, squares
    from linnet.export import export_onnx
    from linnet.export.pretrained import published

    bundle = published(run)
    if given:
        inputs = find_images(given, count)
    else:
        try:
            inputs = draw(run, None, count)
        except LinnetError as error:
            raise RunError(
                f"the graph is compared with torch on images of the run's data, which is not at hand ({error}); "
                "name its folder by --root, or other images by --images"
            ) from None
    parity = export_onnx(bundle, squares(inputs.images, bundle.preprocessing), folder, uint8=uint8)
    tell(f"onnx: {folder}/model.onnx, opset {OPSET}, with model.json and classes.json")
    differences = ", ".join(f"{name} {value:.2g}" for name, value in parity.difference.items())
    tell(f"against torch on {parity.images} images: largest difference {differences}")
    agreement = [f"{name} {share:.1%}" for name, share in parity.agreement.items()]
    tell(f"the same best class: {', '.join(agreement) or 'the method names none'}")
