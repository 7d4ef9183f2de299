"""`linnet figure patches`: what networks look at when they learn from different labels (paper 001, Fig. 2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.console import tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linnet.training.run import Run

__all__ = ["figure", "register"]

_ROWS = {"coarse": "Base", "fine": "Fine", "instance": "Indi"}


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Draw a figure of a paper.", no_args_is_help=True)
    group.command("patches")(figure)
    group.callback()(lambda: None)
    app.add_typer(group, name="figure")


def figure(
    out: Annotated[Path, typer.Option(help="The picture, .png, .pdf or .svg.")] = Path("runs/patches/fig2.png"),
    runs: Annotated[Path, typer.Option(help="Folder of the three runs; those there are not trained again.")] = Path(
        "runs/patches"
    ),
    images: Annotated[int, typer.Option(min=1, max=32, help="How many images to draw.")] = 6,
) -> None:
    """Train Base, Fine and Indi on the two-patch images and draw their attention maps (paper 001, Fig. 2)."""
    from linnet.datasets.patches import load_with_boxes
    from linnet.randomness import permutation
    from linnet.recipes import resolve
    from linnet.report.figures import attention_figure
    from linnet.training.api import train

    manifest, boxes = load_with_boxes()
    assert manifest.pixels is not None
    maps = {}
    for method, name in _ROWS.items():
        tell(f"training {name} ({method})")
        run = train(resolve(f"patches/{method}"), runs / method, manifest, resume=True)
        maps[name] = _maps(run, manifest.pixels)
    shown = permutation(len(manifest), 0, "figure")[:images]
    attention_figure(manifest.pixels[shown], {name: each[shown] for name, each in maps.items()}, out)
    table = Table(title="Share of attention, mean over 512 images (%)")
    for heading in ("method", "big patch (coarse)", "small patch (fine)", "blank"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, each in maps.items():
        big, small = _share(each, boxes.big), _share(each, boxes.small)
        table.add_row(name, f"{big:.1f}", f"{small:.1f}", f"{100 - big - small:.1f}")
    area = [_share(maps["Base"] * 0 + 1, box) for box in (boxes.big, boxes.small)]
    table.add_row("even over the image", f"{area[0]:.1f}", f"{area[1]:.1f}", f"{100 - sum(area):.1f}")
    Console().print(table)
    tell(f"figure: {out}")


def _maps(run: Run, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Attention maps (N, H, W) of a run's backbone over images (N, H, W, 3)."""
    import numpy as np
    import torch

    from linnet.explain.attention import attention_maps

    shape, parts = run.bundle.preprocessing, []
    mean, std = torch.tensor(shape.mean), torch.tensor(shape.std)
    with torch.inference_mode():
        for start in range(0, len(pixels), 128):
            unit = torch.from_numpy(pixels[start : start + 128]).float() / 255
            features = run.bundle.method.backbone.features(((unit - mean) / std).permute(0, 3, 1, 2))
            size = (int(pixels.shape[1]), int(pixels.shape[2]))
            parts.append(attention_maps(features, size).clamp(0, 1).numpy())
    return np.concatenate(parts)


def _share(maps: NDArray[np.float32], boxes: NDArray[np.int64]) -> float:
    """Mean over images of the share of a map's sum that lies in the image's box, percent."""
    inside = [
        each[top:bottom, left:right].sum() / max(each.sum(), 1e-12)
        for each, (top, left, bottom, right) in zip(maps, boxes, strict=True)
    ]
    return 100 * float(sum(inside)) / len(inside)
