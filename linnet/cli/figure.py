"""`linnet figure`: pictures of papers and of results: `patches`, `curve`, `projection`, `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.console import tell
from linnet.cli.projection import projection
from linnet.cli.results import RECORD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from linnet.datasets.patches import Boxes
    from linnet.training.run import Run

__all__ = ["curve", "figure", "register", "sweep"]

_ROWS = {"coarse": "Base", "fine": "Fine", "instance": "Indi"}


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Draw a figure of a paper, or of recorded results.", no_args_is_help=True)
    group.command("patches")(figure)
    group.command("curve")(curve)
    group.command("projection")(projection)
    group.command("sweep")(sweep)
    app.add_typer(group, name="figure")


def figure(
    out: Annotated[Path, typer.Option(help="The picture, .png, .pdf or .svg.")] = Path("runs/patches/fig2.png"),
    runs: Annotated[Path, typer.Option(help="Folder of the three runs; those there are not trained again.")] = Path(
        "runs/patches"
    ),
    record: Annotated[Path | None, typer.Option(help="Keep the shares of attention in this file of results.")] = None,
    images: Annotated[int, typer.Option(min=1, max=32, help="How many images to draw.")] = 6,
) -> None:
    """Train Base, Fine and Indi on the two-patch images and draw their attention maps (paper 001, Fig. 2)."""
    import numpy as np

    from linnet.cli.record import results_of
    from linnet.datasets.patches import load_with_boxes
    from linnet.randomness import permutation
    from linnet.recipes import resolve
    from linnet.report.figures import attention_figure
    from linnet.report.results import append_results
    from linnet.training.api import train
    from linnet.training.run import Evaluation

    manifest, boxes = load_with_boxes()
    assert manifest.pixels is not None
    maps: dict[str, NDArray[np.float32]] = {}
    measured: dict[str, Run] = {}
    for method, name in _ROWS.items():
        tell(f"training {name} ({method})")
        run = train(resolve(f"patches/{method}"), runs / method, manifest, resume=True)
        maps[name] = _maps(run, manifest.pixels)
        measured[name] = run
    shown = permutation(len(manifest), 0, "figure")[:images]
    attention_figure(manifest.pixels[shown], {name: each[shown] for name, each in maps.items()}, out)
    shares = {name: _shares(each, boxes) for name, each in maps.items()}
    even = _shares(np.ones_like(maps["Base"]), boxes)
    if record is not None:
        found = {name: Evaluation("train", len(manifest), each, even) for name, each in shares.items()}
        append_results(record, [line for name in maps for line in results_of([measured[name]], [found[name]])])
    table = Table(title="Share of attention, mean over 512 images (%)")
    for heading in ("method", "big patch (coarse)", "small patch (fine)", "blank"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name, each in {**shares, "even over the image": even}.items():
        table.add_row(name, *(f"{share:.1f}" for share in each.values()))
    Console().print(table)
    tell(f"figure: {out}")


def curve(
    dataset: Annotated[str, typer.Argument(help="Data set as results name it, without its share of fine labels.")],
    out: Annotated[Path, typer.Option(help="The picture, .png, .pdf or .svg.")],
    metric: Annotated[str, typer.Option(help="Which figure.")] = "fine_top1",
    record: Annotated[Path, typer.Option(help="File of results, as evaluate --record writes it.")] = RECORD,
    protocol: Annotated[str | None, typer.Option(help="Only protocols that hold this text, such as a net.")] = None,
    scale: Annotated[str | None, typer.Option(help="Only this scale: full, cpu or own.")] = None,
    split: Annotated[str, typer.Option(help="Where it was measured.")] = "test",
) -> None:
    """Draw a metric over the share of fine labels, and print it as a table."""
    from linnet.report.curves import curve_table, gather_curves
    from linnet.report.figures import curve_figure
    from linnet.report.results import read_results

    curves = gather_curves(read_results(record), dataset, metric, protocol=protocol, scale=scale, split=split)
    curve_figure(curves, out, title=", ".join(filter(None, [dataset, protocol])))
    typer.echo(curve_table(curves))
    tell(f"figure: {out}")


def sweep(
    folders: Annotated[list[Path], typer.Argument(metavar="SWEEP...", help="Folders that linnet sweep wrote.")],
    out: Annotated[Path, typer.Option(help="The picture, .png, .pdf or .svg.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="Which figure, several times for several; by default the one that chose.")
    ] = None,
) -> None:
    """Draw validation figures over the values of a setting (paper 000, Fig. 5), and print them as a table."""
    from linnet.report.sweeps import read_sweeps, sweep_figure, sweep_table

    swept = read_sweeps(folders, metric or ())
    sweep_figure(swept, out)
    typer.echo(sweep_table(swept))
    tell(f"figure: {out}")


def _maps(run: Run, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Attention maps (N, H, W) of a run's backbone over images (N, H, W, 3)."""
    import numpy as np
    import torch

    from linnet.losses.attention import attention_maps

    shape, parts = run.bundle.preprocessing, []
    mean, std = torch.tensor(shape.mean), torch.tensor(shape.std)
    with torch.inference_mode():
        for start in range(0, len(pixels), 128):
            unit = torch.from_numpy(pixels[start : start + 128]).float() / 255
            features = run.bundle.method.backbone.features(((unit - mean) / std).permute(0, 3, 1, 2))
            size = (int(pixels.shape[1]), int(pixels.shape[2]))
            parts.append(attention_maps(features, size).clamp(0, 1).numpy())
    return np.concatenate(parts)


def _shares(maps: NDArray[np.float32], boxes: Boxes) -> dict[str, float]:
    """Where the attention goes: big patch, small patch, and neither, percent."""
    big, small = _share(maps, boxes.big), _share(maps, boxes.small)
    return {"attention_big_patch": big, "attention_small_patch": small, "attention_blank": 100 - big - small}


def _share(maps: NDArray[np.float32], boxes: NDArray[np.int64]) -> float:
    """Mean over images of the share of a map's sum that lies in the image's box, percent."""
    inside = [
        each[top:bottom, left:right].sum() / max(each.sum(), 1e-12)
        for each, (top, left, bottom, right) in zip(maps, boxes, strict=True)
    ]
    return 100 * float(sum(inside)) / len(inside)
