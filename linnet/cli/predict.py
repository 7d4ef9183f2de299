"""`linnet predict`: the classes of images at every level, with calibrated probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.console import complain, show_log, tell
from linnet.errors import LinnetError, RunError

if TYPE_CHECKING:
    from linnet.predict import Predictor
    from linnet.predict.calibration import LevelCalibration
    from linnet.predict.coverage import Coverage
    from linnet.predict.rows import Layout, Row
    from linnet.predict.writing import Sink

__all__ = ["predict", "register"]

_SAMPLE = 256
"""Images that int8 finds its ranges on."""


class _Format(Enum):
    CSV = "csv"
    JSONL = "jsonl"
    TABLE = "table"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or a bundle's.")],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Files, folders with all below, or patterns such as 'photos/*.jpg'."),
    ],
    out: Annotated[Path | None, typer.Option(help="Write to this .csv or .jsonl; by default to the terminal.")] = None,
    kind: Annotated[_Format | None, typer.Option("--format", help="By default the file's, else a table.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to list at each level.")] = 1,
    backoff: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Answer at the finest level whose probability reaches this, else 'none'."),
    ] = None,
    index: Annotated[Path | None, typer.Option(help="Add the nearest images of this index of the run.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many of them.")] = 5,
    embeddings: Annotated[Path | None, typer.Option(help="Write the embeddings to this .npy too.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write counts, calibration and risk to this .json.")] = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Fit the temperatures anew, or take raw probabilities; by default they are fitted once.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What runs the net: auto, torch, compile, openvino or openvino-int8.")
    ] = "auto",
    root: Annotated[str | None, typer.Option(help="Folder that now holds the run's data set.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images that the net sees at once.")] = 32,
    workers: Annotated[int, typer.Option(min=0, help="Threads that decode; 0 takes one a core.")] = 0,
) -> None:
    """Name the classes of images at every level; an image that cannot be read gets a row that says so."""
    from linnet.predict.arguments import check_arguments, named_images
    from linnet.predict.nearby import open_index, with_neighbours
    from linnet.predict.predictor import Predictor
    from linnet.predict.rows import Layout
    from linnet.predict.writing import format_of, open_sink

    form = format_of(out, kind and kind.value)
    if embeddings is not None and embeddings.suffix != ".npy":
        raise RunError(f"--embeddings {embeddings}: end it in .npy")
    check_arguments(images)
    sample = list(islice(named_images(images), _SAMPLE)) if engine == "openvino-int8" else []
    with show_log():
        predictor = Predictor.open(run, engine=engine, top=top, sample=sample)
        if not predictor.named and embeddings is None and index is None:
            method = predictor.bundle.card["method"]
            raise RunError(f"{run}: method {method!r} names no classes; ask for --index INDEX or --embeddings FILE.npy")
        near = open_index(index, predictor.bundle) if index is not None else None
        predictor, why = _calibrated(predictor, run, calibrate, root)
        covered = _told(predictor, why, backoff)
        sizes = [len(classes) for classes in predictor.bundle.taxonomy.classes]
        layout = Layout(
            predictor.named,
            tuple(predictor.calibrated) or (False,) * len(predictor.named),
            tuple(min(top, size) for size in sizes[: len(predictor.named)]),
            backoff,
            min(k, len(near)) if near is not None else 0,
        )
        shape = (sum(1 for _ in named_images(images)), predictor.bundle.method.embedding_dim)
        echo = lambda text: typer.echo(text, nl=False)  # noqa: E731
        with open_sink(layout, form, echo, out, embeddings, shape) as sink:
            rows = _rows(predictor, named_images(images), batch, workers)
            if near is not None:
                rows = with_neighbours(rows, near, k)
            broken = _write(rows, sink, shape[0], bar=out is not None)
    if summary is not None:
        _write_summary(summary, predictor, layout, (shape[0], broken), covered)
    _end(shape[0], broken, out)


def _calibrated(predictor: Predictor, run: Path, wanted: bool | None, root: str | None) -> tuple[Predictor, str]:
    """The predictor with temperatures where there can be any, and why there are none.

    Raises:
        LinnetError: they were asked for, and cannot be fitted.
    """
    from dataclasses import replace

    from linnet.predict.validation import calibrate
    from linnet.training.run import Run

    if wanted is False:
        return replace(predictor, calibration=None), "--no-calibrate"
    if not predictor.named or (predictor.calibration is not None and not wanted):
        return predictor, ""
    try:
        opened = Run.open(run)
        if root is not None:
            opened.recipe = opened.recipe.change(root=root)
        tell("calibrating on the run's validation images ...")
        return calibrate(predictor, opened), ""
    except LinnetError as error:
        if wanted:
            raise
        return replace(predictor, calibration=None), str(error)


def _told(predictor: Predictor, why: str, backoff: float | None) -> list[Coverage]:
    """Say how far probabilities can be trusted; what backing off does at several probabilities, where asked for."""
    from linnet.predict.coverage import THRESHOLDS, risk_coverage

    if predictor.calibration is None:
        if predictor.named:
            tell(f"uncalibrated: {', '.join(predictor.named)}; probabilities are as the net gives them ({why})")
        return []
    for each in predictor.calibration.levels:
        tell(_level_line(each))
    if backoff is None:
        return []
    asked = sorted({*THRESHOLDS, backoff})
    found = risk_coverage(predictor.calibration.signals, predictor.calibrated, asked)
    _show_coverage(found, predictor.named, backoff, len(predictor.calibration.signals.right))
    return found


def _level_line(level: LevelCalibration) -> str:
    if not level.calibrated:
        return f"uncalibrated: {level.level} ({level.note})"
    assert level.error is not None
    return (
        f"calibrated: {level.level}, temperature {level.temperature:.3f} on {level.images:,} validation images; "
        f"loss {level.loss_before:.3f} -> {level.loss:.3f}, calibration error {level.error_before:.1f} % -> "
        f"{level.error:.1f} %{f' ({level.note})' if level.note else ''}"
    )


def _show_coverage(found: list[Coverage], levels: tuple[str, ...], backoff: float, images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Backing off, on {images:,} validation images; shares in %", title_justify="left")
    for heading in ("at least", "answered", "wrong", *(f"{end}{level}" for level in levels for end in ("", "wrong, "))):
        table.add_column(heading, justify="right")
    for each in found:
        pairs = zip(each.shares, each.risks, strict=True)
        cells = [_percent(value) for pair in pairs for value in pair]
        mark = " *" if each.least == backoff and len(found) > 1 else ""
        table.add_row(f"{100 * each.least:g}{mark}", _percent(each.coverage), _percent(each.risk), *cells)
    Console(stderr=True).print(table)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _rows(predictor: Predictor, images: Iterator[Path], batch: int, workers: int) -> Iterator[Row]:
    from itertools import tee

    from linnet.predict.rows import Row

    named, given = tee(images)  # they are apart by what is decoded ahead, at most
    answers = predictor.stream(given, batch_size=batch, workers=workers)
    return (Row(str(image), said) for image, said in zip(named, answers, strict=True))


def _write(rows: Iterable[Row], sink: Sink, total: int, *, bar: bool) -> int:
    """Write all rows and count the broken images; a bar on a terminal where rows go elsewhere."""
    from linnet.predict.answers import Failed

    broken = 0
    with _bar(total, bar) as step:
        for row in rows:
            sink.put(row)
            broken += isinstance(row.said, Failed)
            step()
    return broken


@contextmanager
def _bar(total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not (wanted and console.is_terminal)) as shown:
        task = shown.add_task("", total=total)
        yield lambda: shown.advance(task)


def _write_summary(
    target: Path, predictor: Predictor, layout: Layout, counts: tuple[int, int], covered: list[Coverage]
) -> None:
    from linnet import files

    images, broken = counts
    levels = [asdict(each) for each in predictor.calibration.levels] if predictor.calibration else []
    content = {
        "images": images,
        "broken": broken,
        "weights_sha256": predictor.bundle.card["weights_sha256"],
        "engine": predictor.engine.name,
        "levels": list(layout.levels),
        "calibration": levels,
        "backoff": layout.least,
        "risk_coverage": [asdict(each) for each in covered],
    }
    files.write_json(target, content)


def _end(total: int, broken: int, out: Path | None) -> None:
    """What was done.

    Raises:
        typer.Exit: with 1, where images are broken.
    """
    if out is not None:
        tell(f"{total - broken:,} images answered: {out}")
    if broken:
        complain(f"{broken:,} of {total:,} images cannot be used; their rows say why")
        raise typer.Exit(1)
