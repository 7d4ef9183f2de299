"""`linnet discover`: clusters within coarse classes, their names as labels to train on, and how good they are."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from linnet import files
from linnet.cli.console import complain, show_figures, tell
from linnet.errors import RecipeError, RunError

if TYPE_CHECKING:
    from linnet.discover import Discovery, Labelled, Settings, Subjects
    from linnet.recipes import Recipe

__all__ = ["find", "measure", "name", "register", "write_sheets"]

_NAMES = "names.csv"
_SHEETS = "sheets.html"
_WORK = "work"


class _Method(Enum):
    K_MEANS = "k-means"
    HDBSCAN = "hdbscan"


class _Group(TyperGroup):
    """`linnet discover RUN` is short for `linnet discover find RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["find", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        cls=_Group,
        help="Propose fine classes within coarse ones, and make them labels: discover RUN [DATA], then discover name.",
        no_args_is_help=True,
    )
    for command in (find, name, measure):
        group.command()(command)
    app.add_typer(group, name="discover")


def find(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|INDEX [DATA] [KEY=VALUE]",
            help="RUN: the run folder whose embeddings are clustered, or the word pixels; INDEX: what linnet index "
            "wrote. DATA: a known data set, a table of images, or a folder; by default the run's own. Settings of "
            "reading may follow, such as levels='[\"family\"]'.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default RUN/discovery.")] = None,
    clusters: Annotated[
        str, typer.Option(help="Clusters of each coarse class: a number, auto (by stability), or true (as known).")
    ] = "auto",
    method: Annotated[_Method, typer.Option(help="How to cluster; hdbscan leaves out images.")] = _Method.K_MEANS,
    pca: Annotated[int | None, typer.Option(min=1, help="Cluster this many principal components.")] = None,
    least: Annotated[int, typer.Option(min=2, help="Fewest images of a cluster, for auto and hdbscan.")] = 5,
    most: Annotated[int, typer.Option(min=2, help="The largest number that auto tries.")] = 20,
    on: Annotated[str | None, typer.Option(help="Only images of this split.")] = None,
    coarse: Annotated[str | None, typer.Option(help="Look into classes of this level; by default the run's.")] = None,
    seed: Annotated[int, typer.Option(help="Key of every draw.")] = 0,
    engine: Annotated[str, typer.Option(help="What runs the net: torch, auto, compile, openvino.")] = "torch",
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
) -> None:
    """Cluster images within every coarse class, and write the clusters, a table for their names and contact sheets."""
    from linnet.discover import Settings

    number = int(clusters) if clusters.isdecimal() else clusters
    settings = Settings(method.value, number, pca, most, least, seed)  # type: ignore[arg-type]
    folder = out or (Path(arguments[0]) / "discovery" if arguments[0] != "pixels" else None)
    if folder is None:
        raise RunError("say where to write what the pixels give: --out FOLDER")
    with files.claimed(folder, "a discovery"):
        _find(arguments, settings, folder, coarse, on, root, engine)


def _find(
    arguments: list[str],
    settings: Settings,
    folder: Path,
    coarse: str | None,
    on: str | None,
    root: str | None,
    engine: str,
) -> None:
    """Discover into a folder that this process holds."""
    from linnet.discover import discover, save_discovery, write_names
    from linnet.discover.store import card_path

    if card_path(folder).exists():
        raise RunError(f"{folder} holds a discovery already; give another --out, or remove it")
    try:
        subjects = _subjects(arguments, coarse, on, root, engine, folder / _WORK)
        with _bar(subjects) as done:
            found = discover(subjects, settings, keep=folder / _WORK, done=done)
    except KeyboardInterrupt:
        complain(f"interrupted; what is done lies in {folder}; go on with the same command")
        raise typer.Exit(130) from None
    found.card["source"]["command"] = shlex.join(["linnet", *sys.argv[1:]])
    into = _unused(folder)
    save_discovery(found, into)
    write_names(found, into / _NAMES)
    files.remove_folder(folder / _WORK)
    _show(found)
    write_sheets(found, into)
    table = shlex.quote(str(into / _NAMES))
    tell(f"name clusters in {table}, then: linnet discover name {shlex.quote(str(into))} {table} --out new.csv")


def _unused(folder: Path) -> Path:
    """Where to write what is found: the folder, unless a discovery was copied there while it was worked on."""
    from linnet.discover.store import card_path

    into, number = folder, 2
    while card_path(into).exists():
        into, number = folder.resolve().with_name(f"{folder.resolve().name}-{number}"), number + 1
    if into != folder:
        complain(f"{folder} got another discovery meanwhile, which stays as it is; this one is written to {into}")
    return into


def _subjects(
    arguments: list[str], coarse: str | None, on: str | None, root: str | None, engine: str, keep: Path
) -> Subjects:
    """The images, with their embeddings."""
    from linnet.discover.embed import index_subjects, pixel_subjects, read_data, run_subjects
    from linnet.search import Index
    from linnet.training.run import Run

    first, recipe = arguments[0], _reading(arguments[1:], root)
    if (Path(first) / "index.json").exists():
        if recipe is not None:
            raise RecipeError(f"{first} is an index, which knows its images; leave {arguments[1]} out")
        return index_subjects(Index.open(first), on, coarse)
    run = None if first == "pixels" else Run.open(first)
    if run is not None and root is not None:
        run.recipe = run.recipe.change(root=root)
    given = None if recipe is None else recipe.data
    data = read_data(run, given, root, {} if recipe is None else recipe.reading(), coarse)
    return (
        pixel_subjects(data, on=on, keep=keep) if run is None else run_subjects(run, data, on, engine=engine, keep=keep)
    )


def _reading(arguments: list[str], root: str | None) -> Recipe | None:
    """DATA and how to read it, as a recipe has it; None without any.

    Raises:
        RecipeError: a setting that does not say how data is read.
    """
    from linnet.cli.train import read_settings
    from linnet.recipes.model import READING

    if not arguments:
        return None
    stray = {argument.partition("=")[0] for argument in arguments[1:]} - {*READING, "seed"}
    if stray:
        raise RecipeError(f"{', '.join(sorted(stray))}: behind DATA, discover takes only {', '.join(READING)}")
    return read_settings(arguments, None, root)


def write_sheets(found: Discovery, folder: Path, data: str | None = None, root: str | None = None) -> None:
    """Write the contact sheets of a discovery beside it."""
    from linnet.discover.embed import manifest_of
    from linnet.report.discovery_page import discovery_page

    size = discovery_page(found, manifest_of(found, data, root), folder / _SHEETS)
    tell(f"contact sheets: {folder / _SHEETS} ({size / 1e6:.1f} MB)")


@contextmanager
def _bar(subjects: Subjects) -> Iterator[Callable[[str, int, int], None]]:
    """A bar over the images whose coarse class is done."""
    from linnet.training.log import Bar

    bar = Bar(len(subjects.images), 0, None)

    def done(coarse: str, images: int, clusters: int) -> None:
        bar.say("clustering", f"{coarse}: {clusters}")
        bar.advance(images)

    bar.say("clustering")
    try:
        yield done
    finally:
        bar.close()


def _show(found: Discovery) -> None:
    """A table of the coarse classes: how many clusters, how stable, and how good where that is known."""
    from linnet.discover import score

    parts = {each.name: each for each in score(found)[1]} if (found.fine >= 0).any() else {}
    table = Table(
        title="clusters within coarse classes",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    figures = ("cluster_accuracy", "cluster_nmi", "cluster_ari") if parts else ()
    table.add_column("coarse class")
    for heading in ("images", "clusters", "in none", "stable", *(_short(metric) for metric in figures)):
        table.add_column(heading, justify="right", no_wrap=True)
    for c, there in enumerate(found.clusters):
        images, coarse = len(found.places(c)), found.coarse_names[c]
        if not images:
            continue
        stable = [each.stability for each in there if each.stability is not None]
        told = f"{fmean(stable):.2f}" if stable else ""
        cells = [f"{parts[coarse].figures[metric]:.1f}" if coarse in parts else "" for metric in figures]
        table.add_row(coarse, f"{images:,}", str(len(there)), str(len(found.members(c, -1))), told, *cells)
    Console().print(table)


def _short(metric: str) -> str:
    return metric.removeprefix("cluster_").replace("accuracy", "right %")


def name(
    discovery: Annotated[Path, typer.Argument(help="Folder that linnet discover wrote.")],
    names: Annotated[
        Path | None,
        typer.Argument(help="The filled-in table coarse,cluster,name; without it the names that are saved."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Table to write, with named clusters as labels: .csv, .tsv, .parquet, .jsonl.")
    ] = None,
    level: Annotated[str | None, typer.Option(help="What the new level is called; by default fine.")] = None,
    strength: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Label only images that are this firm in their cluster.")
    ] = None,
    with_test: Annotated[bool, typer.Option("--with-test", help="Label test images too.")] = False,
    images: Annotated[Path | None, typer.Option(help="Folder to write images to that lie in arrays, as PNG.")] = None,
    data: Annotated[str | None, typer.Option(help="The data that was clustered, where it lies elsewhere now.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the data set, or image paths.")] = None,
) -> None:
    """Name clusters, and write a table in which named clusters are fine labels, to train on."""
    from linnet.discover import open_discovery, read_names, save_discovery, to_manifest, write_names
    from linnet.discover.draft import draft_path
    from linnet.discover.embed import manifest_of
    from linnet.discover.pictures import rooted
    from linnet.manifest import write_manifest

    if names is None and out is None:
        raise RunError("nothing to do: give the filled-in table of names, or --out TABLE, or both")
    if out is not None and out.exists():
        raise RunError(f"{out} is already there; give another --out, or remove it")
    found = open_discovery(discovery)
    if (draft := draft_path(discovery)).exists():
        raise RunError(
            f"{draft} holds changes that were made in the page and not saved; save or discard them there "
            f"(linnet serve RUN --discovery {discovery}), or remove the file"
        )
    if names is not None:
        found = read_names(found, names)
        save_discovery(found, discovery)
        write_names(found, discovery / _NAMES)
        write_sheets(found, discovery, data, root)
    named = sum(bool(each.name) for there in found.clusters for each in there)
    tell(f"{discovery}: {named} of {sum(map(len, found.clusters))} clusters have a name")
    if out is None:
        return
    hold = () if with_test else ("test",)
    labelled = to_manifest(found, manifest_of(found, data, root), level=level, strength=strength, hold=hold)
    write_manifest(rooted(labelled.manifest, out, images), out)
    _tell_labelled(labelled, out)


def _tell_labelled(labelled: Labelled, out: Path) -> None:
    """What became of the images, and what to do next."""
    parts = {
        "labelled by their cluster": labelled.named,
        "had a fine label before, which stays": labelled.known,
        "not firm enough": labelled.weak,
        "in a cluster without a name, or in none": labelled.unnamed,
        "test images, which keep what they have (--with-test labels them too)": labelled.held,
    }
    for told, count in parts.items():
        if count:
            tell(f"{count:>8,} {told}")
    train = f"linnet train {shlex.quote(str(out))}"
    if labelled.childless:
        few = ", ".join(labelled.childless[:5]) + (", ..." if len(labelled.childless) > 5 else "")
        tell(
            f"{len(labelled.childless)} coarse classes have no fine class yet ({few}): min-pool needs one for each; "
            "name a cluster of each, or train on the others with the setting classes"
        )
        tell(f"table: {out}")
    else:
        tell(f"train with: {train} method=min-pool ...")


def measure(
    discoveries: Annotated[
        list[Path], typer.Argument(metavar="DISCOVERY...", help="Folders; several must differ in their seed alone.")
    ],
    each: Annotated[bool, typer.Option("--each", help="Record each coarse class too.")] = False,
    record: Annotated[Path | None, typer.Option(help="Append the figures to this file of JSON lines.")] = None,
    row: Annotated[str | None, typer.Option(help="What the record calls the embedding; by default its method.")] = None,
    dataset: Annotated[str | None, typer.Option(help="What the record calls the data.")] = None,
    scale: Annotated[str | None, typer.Option(help="Its scale: full or cpu; by default the run's.")] = None,
    note: Annotated[str, typer.Option(help="What a reader of the record must know besides.")] = "",
) -> None:
    """Measure clusters against the fine labels that are known: best matching, NMI, ARI, with what chance scores."""
    from linnet.cli.record_discovery import discovery_results
    from linnet.discover import open_discovery, score
    from linnet.report.results import append_results

    found = [open_discovery(folder) for folder in discoveries]
    scores = [score(one) for one in found]
    for folder, one, (whole, _) in zip(discoveries, found, scores, strict=True):
        _show(one)
        show_figures(f"{folder}: {whole.images:,} images with a fine label", whole.figures, whole.chance, {})
        tell(f"one cluster for each coarse class: accuracy {whole.majority['cluster_accuracy']:.2f}")
    if record is not None:
        lines = discovery_results(found, scores, row=row, dataset=dataset, scale=scale, note=note, each=each)
        total = append_results(record, lines)
        tell(f"{len(lines)} figures recorded in {record}, which now has {total} lines")
