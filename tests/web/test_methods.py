"""Every method behind the page and the API: its classes, its neighbours, and what is laid over the picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from linnet.datasets import load_data
from linnet.explain.scores import readable
from linnet.manifest import Manifest
from linnet.methods import METHODS
from linnet.predict import Predictor
from linnet.search import Index, build_index
from linnet.training.api import train
from linnet.web import Service, create_app
from tests.training.tiny import tiny_recipe

MEMBERS = 2
SETTINGS: dict[str, dict[str, Any]] = {
    "orthogonal-ensemble": {"options": {"members": MEMBERS}},
    "bigspn": {"options": {"dim": 16, "hidden": 12, "reduced": 6}, "momentum": 0},
    "vse": {"options": {"dim": 16, "hidden": 12}},
    "spaen": {"options": {"dim": 16, "hidden": 12}},
}
ROW = 5


@pytest.fixture(scope="module")
def creatures() -> Manifest:
    return load_data("creatures", size=16, train_per_class=3, test_per_class=1)


@pytest.fixture(scope="module")
def teacher(creatures: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train(tiny_recipe(method="fine", epochs=1), folder, creatures, progress=False)
    return folder


@pytest.fixture(params=list(METHODS))
def served(
    request: pytest.FixtureRequest, creatures: Manifest, teacher: Path, tmp_path: Path
) -> Iterator[tuple[str, TestClient]]:
    """A method's name, and a client of a run of it with its index."""
    settings = dict(SETTINGS.get(request.param, {}))
    if request.param == "distil":
        settings["options"] = {"teacher": str(teacher)}
    run = train(tiny_recipe(method=request.param, epochs=1, **settings), tmp_path / "run", creatures, progress=False)
    build_index(run, creatures, tmp_path / "index", engine="torch", progress=False)
    predictor = Predictor.open(tmp_path / "run", engine="torch")
    service = Service(tmp_path / "run", predictor, Index.open(tmp_path / "index"))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        yield request.param, client


def test_each_method_answers(served: tuple[str, TestClient], creatures: Manifest) -> None:
    method, client = served
    assert creatures.pixels is not None
    stream = io.BytesIO()
    Image.fromarray(creatures.pixels[ROW]).save(stream, "PNG")

    def post(path: str, **fields: str) -> Any:
        return client.post(path, files={"image": stream.getvalue()}, data=fields)

    levels = post("/api/v1/predict").json()["levels"]
    known = {"instance": [], "coarse": ["coarse"], "coins": ["coarse"]}.get(method, ["coarse", "fine"])
    assert [each["level"] for each in levels] == known
    for each in levels:
        assert each["name"] in creatures.taxonomy.classes[creatures.taxonomy.level(each["level"])]
        shares = [one["probability"] for one in each["top"]]
        assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1 + 1e-6
    hits = post("/api/v1/search?k=3").json()["hits"]
    assert hits[0]["row"] == ROW and hits[0]["score"] == pytest.approx(1, abs=1e-3)
    _explained(method, levels, post("/api/v1/explain"))
    own = post("/api/v1/explain?attention=true")
    assert own.status_code == 200 and own.json()["maps"]
    page = post("/identify")
    assert page.status_code == 200 and all(readable(each["name"]) in page.text for each in levels)
    maps = post("/identify/maps", **({} if levels else {"kind": "attention"}))
    assert maps.status_code == 200 and maps.text.count("data:image/jpeg") >= 2


def _explained(method: str, levels: list[Any], said: Any) -> None:
    """Maps are of the very classes, with the very probabilities, that the answer names; or of each member."""
    if not levels:
        assert said.status_code == 422 and "attention" in said.json()["error"]["message"]
        return
    maps = said.json()["maps"]
    if method == "orthogonal-ensemble":
        assert [each["name"] for each in maps] == [f"member {number + 1}" for number in range(MEMBERS)]
        assert {each["told"][0] for each in maps} == {readable(levels[-1]["name"])}
        return
    assert [each["name"] for each in maps] == [f"{each['level']} class" for each in levels]
    for each, level in zip(maps, levels, strict=True):
        assert each["told"][0] == readable(level["name"])
        assert each["told"][1].startswith(f"{100 * level['probability']:.0f} %")
