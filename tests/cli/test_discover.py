"""`linnet discover` on the command line: find, name, train on the names, measure and record."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import linnet.discover.find
from linnet.cli.app import app
from linnet.datasets.creatures import write_folder
from linnet.discover import open_discovery
from linnet.manifest import read_manifest
from linnet.training.api import train
from tests.training.tiny import SETTINGS, tiny_manifest, tiny_recipe

FEW = [
    f"{key}={json.dumps(value)}" for key, value in {**SETTINGS, "epochs": 1}.items() if key not in {"data", "method"}
]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "any"
    train(tiny_recipe(method="coarse", epochs=1, select_on="last", validation=0.0), folder, tiny_manifest(),
          progress=False)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with coarse labels alone: a table, and the fine labels beside it."""
    folder = tmp_path_factory.mktemp("photos") / "creatures"
    write_folder(folder, size=16, train_per_class=4, test_per_class=2)
    rows = [line.split(",") for line in (folder / "manifest.csv").read_text().splitlines()]
    (folder / "coarse.csv").write_text("\n".join(",".join(row[:-1]) for row in rows) + "\n")
    return folder


def named(folder: Path, coarse: str | None = None) -> Path:
    """The table of names, filled in; of one coarse class only where it is given."""
    rows = list(csv.DictReader((folder / "names.csv").read_text().splitlines()))
    target = folder / "mine.csv"
    with target.open("w") as stream:
        table = csv.DictWriter(stream, rows[0].keys())
        table.writeheader()
        for row in rows:
            wanted = coarse in (None, row["coarse"])
            table.writerow({**row, "name": f"{row['coarse']} {row['cluster']}" if wanted else ""})
    return target


def test_from_coarse_labels_to_a_run_on_named_clusters(run: Path, photos: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "found", tmp_path / "new.csv"
    done = call("discover", run, photos / "coarse.csv", "--clusters", 2, "--out", out)
    assert done.exit_code == 0, done.output
    assert not (out / "work").exists() and (out / "sheets.html").exists()
    found = open_discovery(out)
    assert len(found) == 144 and [len(there) for there in found.clusters] == [2] * 6
    done = call("discover", "name", out, named(out), "--out", table)
    assert done.exit_code == 0, done.output
    assert "12 of 12 clusters have a name" in done.output and "48 test images" in done.output
    manifest = read_manifest(table)
    assert manifest.path(0).exists() and manifest.taxonomy.levels == ("coarse", "fine")
    assert manifest.taxonomy.count("fine") == 12
    done = call("train", table, "method=min-pool", *FEW, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "beetle 0" in (out / "sheets.html").read_text()
    again = call("discover", run, photos / "coarse.csv", "--out", out)
    assert again.exit_code == 2 and "holds a discovery already" in again.output
    again = call("discover", "name", out, "--out", table)
    assert again.exit_code == 2 and "already there" in again.output


def test_some_names_of_the_runs_own_arrays(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.training.run.load_data", lambda *_, **__: tiny_manifest())
    out, table = tmp_path / "found", tmp_path / "new.csv"
    done = call("discover", "--on", "train", run, "--clusters", "true", "--out", out)
    assert done.exit_code == 0, done.output
    assert "nmi" in done.output and len(open_discovery(out)) == 192
    assert call("discover", "name", out, named(out, "fox")).exit_code == 0
    done = call("discover", "name", out, "--out", table)
    assert done.exit_code == 2 and "give --images FOLDER" in done.output.replace("\n", " ")
    done = call("discover", "name", out, "--out", table, "--images", tmp_path / "png", "--strength", 0.1)
    assert done.exit_code == 0, done.output
    assert "had a fine label before" in done.output
    manifest = read_manifest(table)
    from PIL import Image

    pixels = tiny_manifest().pixels
    assert pixels is not None
    with Image.open(manifest.path(5)) as image:
        assert np.array_equal(np.asarray(image), pixels[5])


def test_an_index_gives_what_its_run_gives(run: Path, photos: Path, tmp_path: Path) -> None:
    table, index = photos / "coarse.csv", tmp_path / "index"
    assert call("index", run, table, "--out", index, "--engine", "torch").exit_code == 0
    done = call("discover", index, "--clusters", 2, "--on", "train", "--out", tmp_path / "one")
    assert done.exit_code == 0, done.output
    assert call("discover", run, table, "--clusters", 2, "--on", "train", "--out", tmp_path / "other").exit_code == 0
    one, other = open_discovery(tmp_path / "one"), open_discovery(tmp_path / "other")
    assert one.images == other.images and np.allclose(one.vectors, other.vectors, atol=1e-5)
    assert np.array_equal(one.cluster, other.cluster)
    done = call("discover", "name", tmp_path / "one", named(tmp_path / "one"), "--out", tmp_path / "new.csv")
    assert done.exit_code == 0, done.output
    done = call("discover", index, photos, "--out", tmp_path / "two")
    assert done.exit_code == 2 and "is an index, which knows its images" in done.output.replace("\n", " ")


def test_broken_off_and_gone_on_with(run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["discover", run, photos / "coarse.csv", "--clusters", "2", "--out", tmp_path / "found"]
    plain, clustered = linnet.discover.find._cluster, []

    def counted(*given: object) -> object:
        if len(clustered) == 3:
            raise KeyboardInterrupt
        clustered.append(given)
        return plain(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(linnet.discover.find, "_cluster", counted)
    done = call(*arguments)
    assert done.exit_code == 130 and "go on with the same command" in done.output.replace("\n", " ")
    assert len(list((tmp_path / "found/work").glob("class-*"))) == 3
    monkeypatch.setattr(linnet.discover.find, "_cluster", lambda *given: clustered.append(given) or plain(*given))
    monkeypatch.setattr("linnet.images.loader.ImageSource.sequential", None)  # embeddings are not made again
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert len(clustered) == 6
    monkeypatch.undo()
    whole = call(*arguments[:-1], tmp_path / "other")
    assert whole.exit_code == 0
    one, other = open_discovery(tmp_path / "found"), open_discovery(tmp_path / "other")
    assert np.array_equal(one.cluster, other.cluster) and one.clusters == other.clusters


def test_two_do_not_write_to_one_folder(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second call is refused while the first works; a discovery that is copied there meanwhile is not overwritten."""
    arguments = ["discover", run, photos / "coarse.csv", "--clusters", "2", "--out"]
    other = tmp_path / "other"
    assert call(*arguments, other).exit_code == 0
    plain = linnet.discover.find._cluster
    refused = []

    def meanwhile(*given: object) -> object:
        if not refused:
            refused.append(call(*arguments, tmp_path / "found"))
            (tmp_path / "found" / "discovery.json").write_bytes((other / "discovery.json").read_bytes())
        return plain(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(linnet.discover.find, "_cluster", meanwhile)
    done = call(*arguments, tmp_path / "found", "--seed", 7)
    assert refused[0].exit_code == 2 and "another process is writing a discovery" in refused[0].output
    assert done.exit_code == 0 and "got another discovery meanwhile" in done.output, done.output
    assert (tmp_path / "found" / "discovery.json").read_bytes() == (other / "discovery.json").read_bytes()
    assert not (tmp_path / "found" / "names.csv").exists()
    kept = open_discovery(tmp_path / "found-2")
    assert kept.card["settings"]["seed"] == 7 and (tmp_path / "found-2" / "names.csv").exists()


def test_a_mistake_leaves_no_folder(tmp_path: Path) -> None:
    done = call("discover", tmp_path / "no-run")
    assert done.exit_code == 2 and "no run folder" in done.output and not list(tmp_path.iterdir())


def test_measured_over_seeds_and_recorded(photos: Path, tmp_path: Path) -> None:
    folders = []
    for seed in (0, 1):
        folders.append(tmp_path / f"pixels-{seed}")
        given = ["discover", "pixels", photos, "--on", "test", "--clusters", "true", "--seed", seed]
        done = call(*given, "--out", folders[-1])
        assert done.exit_code == 0, done.output
    record = tmp_path / "results.jsonl"
    done = call("discover", "measure", *folders, "--record", record, "--dataset", "creatures", "--each")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    whole = {line["metric"]: line for line in lines if line["dataset"] == "creatures, discovery"}
    assert whole["cluster_accuracy"]["seeds"] == [0, 1] and whole["cluster_accuracy"]["floor"] >= 25
    assert whole["clusters"]["mean"] == 24 and whole["clusters"]["floor"] is None
    assert whole["cluster_accuracy"]["split"] == "test" and whole["cluster_accuracy"]["row"] == "pixels"
    assert {line["row"] for line in lines if "each coarse class" in line["dataset"]} == {
        *("beetle", "bird", "butterfly", "fish", "fox", "turtle")
    }
    page = tmp_path / "page.md"
    page.write_text("<!-- results:creatures, discovery -->\n<!-- /results:creatures, discovery -->\n")
    assert call("results", record, "--update", page).exit_code == 0
    assert "accuracy" in page.read_text() and "NMI" in page.read_text()
    done = call("discover", "measure", folders[0], folders[0], "--record", record)
    assert done.exit_code == 2 and "a seed counts once" in done.output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{photos}"], "no run folder"),
        (["pixels", "{photos}"], "give: --out FOLDER"),
        (["pixels", "--out", "{out}"], "say which images to look into"),
        (["pixels", "{photos}", "epochs=3", "--out", "{out}"], "discover takes only"),
        (["pixels", "{photos}", "--on", "dev", "--out", "{out}"], "no split 'dev'"),
        (["pixels", "{photos}", "--coarse", "genus", "--out", "{out}"], "no level 'genus'"),
        (["pixels", "{photos}", "--clusters", "few", "--out", "{out}"], "give a number, auto or true"),
        (["pixels", "{photos}/coarse.csv", "--clusters", "true", "--out", "{out}"], "no image of 'beetle' has a fine"),
        (["name", "{out}"], "nothing to do"),
        (["measure", "{out}"], "no discovery"),
    ],
)
def test_mistakes_are_one_message(photos: Path, tmp_path: Path, arguments: list[str], part: str) -> None:
    done = call("discover", *(each.format(photos=photos, out=tmp_path / "out") for each in arguments))
    assert done.exit_code == 2, done.output
    assert part in done.output.replace("\n", " ") and "Traceback" not in done.output


def test_changed_data_is_refused(run: Path, photos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "photos"
    shutil.copytree(photos, moved)
    out = tmp_path / "found"
    assert call("discover", "pixels", moved / "coarse.csv", "--clusters", 2, "--out", out).exit_code == 0
    mine = named(out)
    shutil.move(moved, tmp_path / "elsewhere")
    done = call("discover", "name", out, mine, "--out", tmp_path / "new.csv")
    assert done.exit_code == 2
    table = tmp_path / "elsewhere" / "coarse.csv"
    done = call("discover", "name", out, mine, "--out", tmp_path / "new.csv", "--data", table)
    assert done.exit_code == 0, done.output
    table.write_text(table.read_text().replace("fox", "vixen"))
    done = call("discover", "name", out, "--out", tmp_path / "more.csv", "--data", table)
    assert done.exit_code == 2 and "have changed since the discovery" in done.output.replace("\n", " ")
