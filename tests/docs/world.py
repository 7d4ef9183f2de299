"""A small world in which the documents' blocks run: photos, tables, a run, and lines cut to a second's work."""

from __future__ import annotations

import contextlib
import csv
import getopt
import io
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from linnet.cli.app import app
from linnet.datasets import cub
from linnet.datasets.coarse import coarse_table
from linnet.datasets.creatures import write_folder
from linnet.discover import Settings, discover, save_discovery
from linnet.discover.embed import read_data, run_subjects
from linnet.randomness import generator
from linnet.search import build_index
from linnet.training.api import train
from linnet.web import create_app
from tests.datasets.listed import write_lists
from tests.docs.blocks import Block, BlockError
from tests.training.tiny import tiny_recipe

SMALL = (
    *("image_size=16", "backbone=cifar-resnet10", "width=4", "weights=none", "pretrained=false", "augment=none"),
    *("epochs=1", "batch_size=32", "precision=fp32", "device=cpu"),
)
"""Settings that follow those of every training line, and replace them: what is left runs in a second."""

SMALLER = {"bigspn": ("dim=16", "hidden=16", "reduced=8"), "-ensemble": ("members=2",)}
"""The same for lines with these words: heads have a hundred million weights; members, unless their number is said."""

EXTRA = {
    **dict.fromkeys(("index", "search", "predict"), ("--engine", "torch")),  # what is quick to start
    "serve": ("--engine", "torch", "--port", "0"),
    "explain": ("--count", "4"),
    "discover": ("--most", "3"),
}
"""Options that other lines get, unless they have them."""

RUNS = ("RUN", "PLAIN", "OR", "runs/first", "runs/second", "runs/coins-0", "runs/coins-1", "runs/coarse")
"""Other runs that pages take for given; all are the one of `runs/photos`."""

PICTURES = ("new.jpg", "photo.jpg", "bird.jpg", "a.jpg", "b.jpg", "c.jpg")


def make_world(folder: Path) -> None:
    """`photos`, a table of it, descriptions of its classes, `more`, single pictures, birds, and a run `runs/photos`."""
    write_folder(folder / "photos", size=16, train_per_class=8, test_per_class=1)
    write_folder(folder / "more", size=16, train_per_class=1, test_per_class=1)
    pictures = sorted((folder / "more/train").rglob("*.png"))
    for number, path in enumerate(pictures[:2]):
        shutil.copy(path, folder / f"more/{number}.jpg")
    for name, path in zip(PICTURES, pictures[2:], strict=False):
        shutil.copy(path, folder / name)
    lines = (folder / "photos/manifest.csv").read_text().replace('\n"', '\n"photos/').splitlines(keepends=True)
    (folder / "photos.csv").write_text("".join(lines))
    (folder / "rows.csv").write_text("".join(lines[:193]))
    for name in ("birds.csv", "classes.csv"):
        shutil.copy(folder / "photos/attributes.csv", folder / name)
    for name, rows in (("v.npy", 192), ("queries.npy", 2)):
        np.save(folder / name, generator(0, name).normal(size=(rows, 8)).astype(np.float32))
    recipe = tiny_recipe(method="fine", epochs=1, data=str(folder / "photos"))
    run = train(recipe, folder / "runs/photos", progress=False)
    build_index(run, None, folder / "runs/photos/index", engine="torch", progress=False)
    subjects = run_subjects(run, read_data(run, None, None, {}, None), progress=False)
    save_discovery(discover(subjects, Settings(clusters=2, repeats=2)), folder / "runs/photos/discovery")
    make_birds(folder / "DIR")


def make_birds(root: Path) -> None:
    """The first hundred birds of CUB-200-2011 as it unpacks, three small pictures each, and attributes of all 200."""
    names = [f"{number:03d}.{name}" for number, name in enumerate(sorted(coarse_table("cub")), start=1)]
    classes = {str(number): name for number, name in enumerate(names[:100], start=1)}
    keys = [(number, picture) for number in classes for picture in range(3)]
    rows = {str(row): (f"{classes[n]}/{p}.png", n, str(int(p < 2))) for row, (n, p) in enumerate(keys, start=1)}
    folder = write_lists(root / cub.FOLDER, classes, rows)
    for row, (path, _, _) in rows.items():
        target = folder / "images" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator(0, "birds", int(row)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(target)
    values = generator(0, "birds", 0).uniform(size=(200, 8))
    lines = (" ".join(f"{value:.3f}" for value in row) + "\n" for row in values)
    (folder / cub.ATTRIBUTES).parent.mkdir()
    (folder / cub.ATTRIBUTES).write_text("".join(lines))


def copy_world(prepared: Path, folder: Path, text: str) -> None:
    """What a page with this text needs, to be changed; photos and data sets are links, for nothing writes there."""
    folder.mkdir()
    for each in prepared.iterdir():
        if each.name in ("photos", "more", "DIR"):
            (folder / each.name).symlink_to(each)
        elif each.is_file():
            shutil.copy(each, folder)
    for name in ("runs/photos", *RUNS):
        if re.search(rf"\b{name}\b", text):
            shutil.copytree(prepared / "runs/photos", folder / name)


def name_clusters(table: Path) -> None:
    """What the reader does between two lines of discover.md: a name for every cluster."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["name"] = f"{row['coarse']} {row['cluster']}"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def cut(arguments: list[str]) -> tuple[str, ...]:
    """What makes a line quick, to follow it."""
    command = arguments[0]
    if command in ("train", "sweep"):
        if {"--dry-run", "--resume"} & {*arguments}:
            return ()
        line = " ".join(arguments)
        more = [each for word, several in SMALLER.items() if word in line for each in several]
        return (*SMALL, *(each for each in more if f" {each.partition('=')[0]}=" not in line))
    extra = EXTRA.get(command, ())
    whole = arguments[1:2] in (["name"], ["measure"]) or (extra[:1] and extra[0] in arguments)
    return () if whole else extra


class Player:
    """Runs the blocks of one page, in its order, in a copy of the world that is the current folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = contextlib.ExitStack()
        self._client: TestClient | None = None
        self._brought = {f"{run}{part}" for run in ("runs/photos", *RUNS) for part in ("", "/index", "/discovery")}
        monkeypatch.setattr("linnet.web.server.serve", self._serve)

    def close(self) -> None:
        """End what `linnet serve` began."""
        self._open.close()
        self._client = None

    def play(self, block: Block) -> None:
        """Run a block.

        Raises:
            BlockError: a command fails, with what it printed, or the code raises.
        """
        for words in block.lines:
            if words[0] == "curl" and self._client is not None:
                self._ask(words[1:])
                continue
            if words[0] != "linnet":
                raise BlockError(f"{words[0]} is not run here: put <!-- not run: why --> above its fence")
            self.call(words[1:])
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, block.place, "exec"), {})  # noqa: S102 (our own documents)

    def call(self, arguments: list[str]) -> None:
        """Run a line of linnet, cut small.

        Raises:
            BlockError: it does not end well.
        """
        self._make_room(arguments)
        if arguments[:2] == ["discover", "name"]:
            name_clusters(Path(arguments[3]))
        line = [*arguments, *cut(arguments)]
        done = CliRunner().invoke(app, line)
        if done.exit_code != 0:
            told = "" if done.exception is None or isinstance(done.exception, SystemExit) else repr(done.exception)
            raise BlockError(f"linnet {shlex.join(line)}\n{done.output}{told}")

    def _make_room(self, arguments: list[str]) -> None:
        """What a page makes itself is not prepared for it: removes it, once, if the world brought it."""
        if arguments[0] not in ("train", "index", "discover") or "--resume" in arguments:
            return
        folder = arguments[arguments.index("--out") + 1] if "--out" in arguments else f"{arguments[1]}/discovery"
        if folder in self._brought:
            self._brought -= {folder, f"{folder}/index", f"{folder}/discovery"}
            shutil.rmtree(folder)

    def _ask(self, words: list[str]) -> None:
        """What curl would ask the page that was served last, without curl.

        Raises:
            BlockError: the answer is an error.
        """
        taken, (url,) = getopt.gnu_getopt(words, "F:T:X:H:")
        options = dict(taken)
        headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
        assert self._client is not None
        if "-F" in options:
            field, _, file = options["-F"].partition("=@")
            answer = self._client.post(url, files={field: Path(file).read_bytes()})
        else:
            answer = self._client.request(options["-X"], url, content=Path(options["-T"]).read_bytes(), headers=headers)
        if answer.is_error:
            raise BlockError(f"curl {shlex.join(words)}\n{answer.status_code} {answer.text}")

    def _serve(self, service: Any, listening: Any, names: tuple[str, ...], ready: Any) -> None:
        """In place of serving until an interrupt: the page answers, and goes on to until the next one."""
        listening.close()
        self.close()
        served = TestClient(create_app(service, "127.0.0.1", names), base_url="http://127.0.0.1:8000")
        self._client = self._open.enter_context(served)
        assert self._client.get("/").status_code == 200
        ready()
