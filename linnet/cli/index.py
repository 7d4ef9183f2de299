"""`linnet index`: embeddings of a collection on disk, to be searched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnet.cli.console import show_log, tell
from linnet.errors import RecipeError, RunError

if TYPE_CHECKING:
    from linnet.search import Index

__all__ = ["index", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(index)


@dataclass(frozen=True)
class _Asked:
    """What to read and how."""

    data: str | None
    reading: dict[str, Any]
    root: str | None
    split: list[str]
    engine: str


def index(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN [DATA] [KEY=VALUE] | INDEX",
            help="RUN: the run folder whose net embeds. DATA: a known data set, a table of images, or a folder; by "
            "default the run's own. Settings of reading may follow, such as levels=family,species. INDEX: a folder "
            "that this command wrote, with --add, --remove or --approximate. With --timm, DATA alone.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default RUN/index.")] = None,
    engine: Annotated[
        str, typer.Option(help="What runs the net: auto, torch, compile, openvino or openvino-int8.")
    ] = "auto",
    split: Annotated[list[str] | None, typer.Option(help="Only images of this split; several times for more.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
    add: Annotated[
        str | None, typer.Option(help="DATA to add to INDEX; only what is new or changed is embedded.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="Image, folder or pattern to take out of INDEX; several times for more.")
    ] = None,
    approximate: Annotated[
        str | None, typer.Option(help="Build a faiss index, too: hnsw or ivf; its recall against exact is told.")
    ] = None,
    recall: Annotated[float, typer.Option(help="The recall@10 that it is set to reach, if it can.")] = 0.95,
    run: Annotated[Path | None, typer.Option(help="With --add: the run that made INDEX, where it was moved.")] = None,
    timm: Annotated[str | None, typer.Option(help="Embed by this timm model in place of a run.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Its weights, safetensors; timm's own by default.")] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="Index these: .npy (N, D), or .parquet with a list column.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="With --vectors: a table of what the rows stand for.")] = None,
) -> None:
    """Embed a collection, and keep the vectors in a folder that `linnet search` looks in. Interrupted, it resumes."""
    from linnet.cli.reading import read_reading

    _check_one(add=add, remove=remove, timm=timm, vectors=vectors)
    given = list(arguments or [])
    began = time.monotonic()
    with show_log():
        if vectors is not None or timm is not None:
            target = _needed(out)
            if vectors is not None:
                _write_vectors(vectors, target, table, given)
            else:
                data, reading = read_reading(given)
                _write_bare(str(timm), weights, target, _Asked(data, reading, root, split or [], engine))
        elif given and (Path(given[0]) / "index.json").exists():
            target = Path(given[0])
            settings = _only_settings(given[1:])
            if add is not None:
                _add(target, run, _Asked(add, settings, root, split or [], engine))
            elif remove:
                _remove(target, remove)
            elif approximate is None:
                raise RecipeError(f"{target} is an index: say what to do with it: --add, --remove or --approximate")
        elif add is not None or remove:
            raise RunError(f"{given[0] if given else 'nothing'}: no index; write linnet index INDEX --add DATA")
        else:
            if not given:
                raise RecipeError("say which run embeds: linnet index RUN [DATA]; or --timm, or --vectors")
            data, reading = read_reading(given[1:])
            target = out or Path(given[0]) / "index"
            _write(given[0], target, _Asked(data, reading, root, split or [], engine))
        _tell(target, time.monotonic() - began)
        if approximate is not None:
            _build_approximate(target, approximate, recall)


def _check_one(**given: Any) -> None:
    named = [f"--{name}" for name, value in given.items() if value]
    if len(named) > 1:
        raise RecipeError(f"{' and '.join(named)}: one at a time")


def _needed(out: Path | None) -> Path:
    if out is None:
        raise RecipeError("say where to write the index: --out DIR")
    return out


def _only_settings(given: list[str]) -> dict[str, Any]:
    from linnet.cli.reading import read_reading

    data, reading = read_reading(given)
    if data is not None:
        raise RecipeError(f"{data}: to add it to the index, write --add {data}")
    return reading


def _write(run: str, target: Path, asked: _Asked) -> None:
    from linnet.search.build import build_index
    from linnet.search.collection import read_collection
    from linnet.training.run import Run

    opened = Run.open(run)
    collection = read_collection(opened, asked.data, asked.root, asked.reading)
    build_index(opened, collection, target, splits=asked.split, engine=asked.engine)


def _write_bare(name: str, weights: Path | None, target: Path, asked: _Asked) -> None:
    from linnet.search.bare import timm_embedder
    from linnet.search.build import build_index
    from linnet.search.collection import read_collection

    if asked.engine == "openvino-int8":
        raise RecipeError("--engine openvino-int8 is for runs; leave it out with --timm")
    collection = read_collection(None, asked.data, asked.root, asked.reading)
    build_index(timm_embedder(name, weights, asked.engine), collection, target, splits=asked.split)


def _write_vectors(vectors: Path, target: Path, table: Path | None, given: list[str]) -> None:
    from linnet.search.given import index_vectors

    if given:
        raise RecipeError(f"{given[0]}: --vectors takes no run and no data; --table says what the rows stand for")
    index_vectors(vectors, target, table)


def _add(target: Path, run: Path | None, asked: _Asked) -> None:
    from linnet.search import Index
    from linnet.search.collection import read_collection
    from linnet.search.queries import embedder_of
    from linnet.search.update import add_images

    before = Index.open(target)
    embedder = embedder_of(before, run, asked.engine)
    collection = read_collection(None, asked.data, asked.root, asked.reading).on(asked.split)
    _, added = add_images(target, collection, embedder)
    tell(f"added: {added.new:,} new, {added.changed:,} changed; {added.known:,} were there already")
    _warn(before, target)


def _remove(target: Path, patterns: list[str]) -> None:
    from linnet.search import Index
    from linnet.search.update import remove_images

    before = Index.open(target)
    _, count = remove_images(target, patterns)
    tell(f"removed: {count:,} of {len(before):,}")
    _warn(before, target)


def _warn(before: Index, target: Path) -> None:
    said = before.card.approximate
    if said is not None:
        tell(
            f"its approximate index is out of date and gone; again: linnet index {target} --approximate {said['kind']}"
        )


def _build_approximate(target: Path, kind: str, recall: float) -> None:
    from linnet.search.update import add_approximate

    _, said = add_approximate(target, kind, recall=recall, tell=tell)
    measured, best = said["recall"], said["tried"][-1]
    short = "" if measured["measured"] >= recall else f"; short of the {recall:g} that was wanted"
    tell(
        f"{kind}: recall@{measured['k']} {measured['measured']:.4f} against exact search, on {measured['queries']} of "
        f"its rows; {best['ms_a_query']} ms a query; built in {said['build_seconds']:.0f} s{short}"
    )


def _tell(target: Path, seconds: float) -> None:
    from linnet.search import Index

    made = Index.open(target, check=False)
    engine = made.made_by.get("engine", {})
    by = f"; {engine['name']} in {engine['precision']}" if engine else ""
    tell(f"index: {target}: {len(made):,} vectors of {made.card.dim} numbers{by}; {seconds:.0f} s")
