"""`linnet index` and `linnet search` on the command line, as a user would."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app
from linnet.datasets import load_data
from linnet.manifest import write_manifest
from linnet.search import Index
from tests.search.made import photos, tiny_run


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    photos(folder / "data")
    done = call("index", tiny_run().folder, folder / "data", "--out", folder / "index", "--split", "test")
    assert done.exit_code == 0, done.output
    assert "48 vectors of 32 numbers" in done.output
    return folder


def test_neighbours_as_table_json_and_csv(made: Path) -> None:
    index = Index.open(made / "index")
    image = index.file(3)
    done = call("search", made / "index", image, "-k", 3)
    assert done.exit_code == 0, done.output
    assert "rank" in done.output and "1.0000" in done.output
    done = call("search", made / "index", image, made / "data/test/fox", "-k", 3, "--json")
    answers = json.loads(done.stdout)
    assert len(answers) == 1 + len(list((made / "data/test/fox").rglob("*.png")))
    first = answers[0]["hits"][0]
    assert (first["row"], first["file"], first["rank"]) == (3, image, 1)
    assert first["score"] == pytest.approx(1, abs=1e-5) and set(first["labels"]) == {"coarse", "fine"}
    done = call("search", made / "index", "--row", 3, "--row", 9, "-k", 4, "--csv", "--within", "coarse")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    expected = index.search(index.vectors[[3, 9]], 4, exclude=[3, 9], within=index.targets[[3, 9], 0])
    assert [int(row["row"]) for row in rows] == expected.rows.reshape(-1).tolist()
    assert {row["coarse"] for row in rows[:4]} == {index.labels(3)["coarse"]}
    name = index.taxonomy.classes[1][5]
    done = call("search", made / "index", image, "--class", name, "--json")
    assert {hit["labels"]["fine"] for hit in json.loads(done.stdout)[0]["hits"]} == {name}


def test_an_index_grows_shrinks_and_gets_an_approximate_one(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made / "index", tmp_path / "index"))
    done = call("index", out, "--add", made / "data")
    assert done.exit_code == 0 and "72 new, 0 changed; 48 were there" in done.output, done.output
    done = call("index", out, "--approximate", "ivf", "--recall", 0.9)
    assert done.exit_code == 0 and "ivf: recall@10" in done.output, done.output
    done = call("search", out, "--row", 0, "--approximate", "--json")
    assert len(json.loads(done.stdout)[0]["hits"]) == 10
    done = call("index", out, "--remove", "test/*")
    assert done.exit_code == 0 and "removed: 48 of 120" in done.output and "out of date" in done.output, done.output
    assert set(Index.open(out).splits) == {"train"}


def test_vectors_in_and_vectors_as_queries(tmp_path: Path) -> None:
    rows = np.eye(4, 6)
    np.save(tmp_path / "v.npy", rows)
    assert call("index", "--vectors", tmp_path / "v.npy", "--out", tmp_path / "out").exit_code == 0
    np.save(tmp_path / "q.npy", rows[[2]] + 0.1 * rows[[1]])
    done = call("search", tmp_path / "out", "--vectors", tmp_path / "q.npy", "-k", 2, "--json")
    assert [hit["row"] for hit in json.loads(done.stdout)[0]["hits"]] == [2, 1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["search", "INDEX"], "say what to look for"),
        (["search", "INDEX", "nowhere.jpg"], "no such file or folder"),
        (["search", "INDEX", "--row", 48], "go from 0 to 47"),
        (["search", "INDEX", "--row", 1, "--within", "fine"], "only within the coarse level"),
        (["search", "INDEX", "--row", 1, "--class", "foxx"], "did you mean 'fox'"),
        (["search", "INDEX", "--row", 1, "--json", "--csv"], "give one of them"),
        (["search", "INDEX", "--row", 1, "--approximate"], "has no approximate index"),
        (["search", "DATA", "--row", 1], "no index (index.json is not there)"),
        (["index"], "say which run"),
        (["index", "INDEX"], "say what to do with it"),
        (["index", "RUN", "DATA", "--remove", "x"], "no index"),
        (["index", "INDEX", "--add", "DATA", "--remove", "x"], "one at a time"),
        (["index", "INDEX", "--approximate", "tree"], "choose one of hnsw, ivf"),
        (["index", "RUN", "DATA", "lr=3"], "only settings of reading"),
        (["index", "RUN", "DATA", "--split", "tset", "--out", "OUT"], "no split tset"),
        (["index", "RUN", "DATA", "--engine", "fast", "--out", "OUT"], "choose one of"),
        (["index", "--timm", "resnet18", "DATA"], "--out DIR"),
        (["index", "--vectors", "v.txt", "--out", "OUT"], "give vectors as .npy"),
    ],
)
def test_mistakes_are_met_with_one_error(made: Path, tmp_path: Path, arguments: list[object], part: str) -> None:
    places = {"INDEX": made / "index", "DATA": made / "data", "RUN": tiny_run().folder, "OUT": tmp_path / "out"}
    done = call(*(places.get(str(each), each) for each in arguments))
    assert done.exit_code == 2, done.output
    assert part in done.output.replace("\n", " ")


def test_another_run_is_refused(made: Path) -> None:
    image = Index.open(made / "index").file(0)
    done = call("search", made / "index", image, "--run", tiny_run(seed=1).folder)
    assert done.exit_code == 2 and "did not make" in done.output


def test_photos_of_cub(data_folder: Path, tmp_path: Path) -> None:
    manifest = load_data("cub", data_folder)
    few = manifest.select(np.arange(0, len(manifest), len(manifest) // 40))
    paths = [str(few.path(row)) for row in range(len(few))]
    table = tmp_path / "few.csv"
    write_manifest(few, table)
    done = call("index", tiny_run().folder, table, "--root", few.root, "--out", tmp_path / "index")
    assert done.exit_code == 0, done.output
    done = call("search", tmp_path / "index", *paths, "-k", 3, "--json")
    answers = json.loads(done.stdout)
    assert [each["hits"][0]["file"] for each in answers] == paths
    assert all(each["hits"][0]["score"] > 0.999 for each in answers)
    names = [list(few.taxonomy.classes[level]) for level in range(2)]
    labels = [each["hits"][0]["labels"] for each in answers]
    told = [[n[row] for n, row in zip(names, rows, strict=True)] for rows in few.targets.tolist()]
    assert [list(each.values()) for each in labels] == told
