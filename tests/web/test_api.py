"""The API and the pages over a small run: what is there, what is not, and what is said of it."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from linnet.errors import RunError
from linnet.predict import Predictor
from linnet.search import Index
from linnet.web import Limits, Service, create_app
from tests.web.conftest import MakeService, picture

PAGES = ["/", "/collection", "/collection?level=1&q=a", "/collection/0/0", "/collection/1/3", "/images/3", "/discover"]
PAGES += ["/discover/0", "/discover/0/0", "/api"]


@pytest.fixture
def bare(make_service: MakeService) -> Iterator[TestClient]:
    """A server with a run alone."""
    with TestClient(create_app(make_service(index=False, discovery=False)), base_url="http://localhost") as opened:
        yield opened


def file_of(made: Path, number: int = 5) -> bytes:
    return sorted((made / "photos").rglob("*.png"))[number].read_bytes()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there(client: TestClient, path: str) -> None:
    said = client.get(path, headers={"Accept": "text/html"})
    assert said.status_code == 200
    assert "http://" not in said.text.replace("http://127.0.0.1:8000", ""), "nothing comes from elsewhere"
    for wrong in ("<script>", " style=", "onclick=", "hx-on"):
        assert wrong not in said.text, "the policy on content would refuse it"


def test_openapi_tells_of_every_operation(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    assert set(told["paths"]["/api/v1/predict"]["post"]["requestBody"]["content"]) >= {
        "multipart/form-data",
        "image/png",
    }
    assert all(path.startswith("/api/v1/") for path in told["paths"])
    undescribed = [path for path, each in told["paths"].items() for one in each.values() if not one.get("description")]
    assert not undescribed
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_neighbours_are_those_of_the_index(client: TestClient, made: Path) -> None:
    index = Index.open(made / "index")
    row = 7
    content = Path(str(index.image(row))).read_bytes()
    hits = client.post("/api/v1/search?k=5", files={"image": content}).json()["hits"]
    assert hits[0]["row"] == row and hits[0]["score"] == pytest.approx(1, abs=1e-4)
    others = client.get(f"/api/v1/images/{row}/neighbours?k=4").json()
    assert [each["row"] for each in others["hits"]] == [each["row"] for each in hits[1:]]
    assert sum(each["votes"] for each in others["votes"]) == 4
    name = index.labels(row)["coarse"]
    inside = client.post(f"/api/v1/search?k=50&within={name}", files={"image": content}).json()["hits"]
    assert {each["labels"]["coarse"] for each in inside} == {name}
    unknown = client.post("/api/v1/search?within=unicorn", files={"image": content})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown-class")


def test_maps_are_laid_over_the_picture(client: TestClient, made: Path) -> None:
    import base64

    said = client.post("/api/v1/explain", files={"image": file_of(made)}).json()
    sizes = {Image.open(io.BytesIO(base64.b64decode(each))).size for each in [said["seen"], said["maps"][0]["jpeg"]]}
    assert len(sizes) == 1
    name = client.get("/api/v1/taxonomy/0").json()["classes"][2]["name"]
    asked = client.post(f"/api/v1/explain?name={name}", files={"image": file_of(made)}).json()
    assert asked["maps"][0]["told"][0] == name
    assert client.post("/api/v1/explain?name=unicorn", files={"image": file_of(made)}).status_code == 404
    attention = client.post("/api/v1/explain?attention=true", files={"image": file_of(made)}).json()
    assert attention["maps"][0]["name"] == "activation"


def test_the_collection_adds_up(client: TestClient, made: Path) -> None:
    index = Index.open(made / "index")
    levels = client.get("/api/v1/taxonomy").json()
    assert levels["images"] == len(index)
    for level in levels["levels"]:
        number, found = level["number"], []
        while True:
            query = f"/api/v1/taxonomy/{number}?offset={len(found)}&limit=5"
            page = client.get(query).json()
            found += page["classes"]
            if len(found) >= page["total"]:
                break
        assert len(found) == level["classes"]
        assert sum(each["images"] for each in found) == level["images"]
        one = found[1]
        images = client.get(f"/api/v1/taxonomy/{number}/{one['number']}/images?limit=200").json()
        assert images["total"] == one["images"] == len(images["images"])
        assert {each["labels"][level["name"]] for each in images["images"]} == {one["name"]}
    assert client.get("/api/v1/taxonomy/0/99/images").status_code == 404
    assert client.get("/api/v1/taxonomy/nowhere").status_code == 404


def test_small_pictures(client: TestClient) -> None:
    said = client.get("/api/v1/images/0/picture?side=96")
    assert said.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(said.content)).size) <= 96
    assert "max-age" in said.headers["cache-control"]
    assert client.get("/api/v1/images/99999/picture").status_code == 404
    assert client.get("/api/v1/images/-1/picture").status_code == 404


def test_a_run_alone_says_what_makes_the_rest(bare: TestClient, made: Path) -> None:
    assert f"linnet index {made / 'run'}" in bare.get("/").text
    assert f"linnet discover {made / 'run'}" in bare.get("/discover").text
    assert f"linnet index {made / 'run'}" in bare.get("/collection").text
    answer = bare.post("/identify", files={"image": file_of(made)})
    assert answer.status_code == 200 and "linnet index" in answer.text
    for path in ("/api/v1/images/0", "/api/v1/discovery"):
        said = bare.get(path)
        assert said.status_code == 409
        assert "Make one: linnet" in said.json()["error"]["message"]
    said = bare.post("/api/v1/search", files={"image": file_of(made)})
    assert (said.status_code, said.json()["error"]["code"]) == (409, "no-index")


def test_problems_of_the_page_are_told_in_it(client: TestClient) -> None:
    part = client.post("/identify", files={"image": b"no picture"}, headers={"HX-Request": "true"})
    assert part.status_code == 415
    assert "This is no JPEG" in part.text and "<html" not in part.text
    whole = client.get("/images/99999", headers={"Accept": "text/html"})
    assert whole.status_code == 404 and "<html" in whole.text
    assert client.get("/images/99999").json()["error"]["code"] == "not-found"


def test_names_are_escaped(client: TestClient) -> None:
    text = "<img src=x onerror=alert(1)>"
    version = client.get("/api/v1/discovery").json()["version"]
    client.patch("/api/v1/discovery/0/0", json={"version": version, "name": text})
    assert text not in client.get("/discover/0").text
    assert text not in client.get("/collection", params={"q": text}).text


def test_an_index_of_another_run_is_refused(made: Path) -> None:
    from dataclasses import replace

    index = Index.open(made / "index")
    identity = {**index.card.embedder["identity"], "sha256": "0" * 64}
    other = replace(index, card=replace(index.card, embedder={**index.card.embedder, "identity": identity}))
    with pytest.raises(RunError, match="not made by"):
        Service(made / "run", Predictor.open(made / "run", engine="torch"), other)


def test_a_method_without_classes_compares_only(made: Path, tmp_path: Path) -> None:
    from linnet.training.api import train
    from tests.training.tiny import tiny_recipe

    train(tiny_recipe(data=str(made / "photos"), method="instance", epochs=1), tmp_path / "run", progress=False)
    service = Service(tmp_path / "run", Predictor.open(tmp_path / "run", engine="torch"))
    with TestClient(create_app(service), base_url="http://localhost") as opened:
        assert opened.post("/api/v1/predict", files={"image": file_of(made)}).json()["levels"] == []
        answer = opened.post("/identify", files={"image": file_of(made)})
        assert "names no classes" in answer.text and "attention" in answer.text
        maps = opened.post("/identify/maps", files={"image": file_of(made)}, data={"kind": "attention"})
        assert maps.status_code == 200 and "data:image/jpeg" in maps.text
        assert opened.post("/api/v1/explain", files={"image": file_of(made)}).status_code == 422


def test_full_is_503_and_many_at_once_are_answered_alike(make_service: MakeService) -> None:
    service = make_service(index=False, discovery=False, limits=Limits(uploads=6, batch=4))
    app, free, begun = create_app(service), threading.Event(), threading.Event()
    answer = service._ask._work

    def slow(given: list[object]) -> object:
        begun.set()
        assert free.wait(60)
        return answer(given)  # type: ignore[arg-type]

    service._ask._work = slow  # type: ignore[assignment]
    pictures = [picture(shade=20 * each) for each in range(6)]

    async def go() -> tuple[list[httpx.Response], httpx.Response, httpx.Response]:
        service.start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            asked = [
                asyncio.create_task(client.post("/api/v1/predict?embedding=true", files={"image": each}))
                for each in pictures
            ]
            while service.gate.inside < 6 or not begun.is_set():
                await asyncio.sleep(0.01)
            refused = await client.post("/api/v1/predict", files={"image": pictures[0]})
            live, ready = await client.get("/health/live"), await client.get("/health/ready")
            assert live.status_code == 200, "the loop is free while the net is at work"
            free.set()
            answers = await asyncio.gather(*asked)
            assert (await client.post("/api/v1/predict", files={"image": pictures[0]})).status_code == 200
            await service.close()
            return answers, refused, ready

    answers, refused, ready = asyncio.run(go())
    assert refused.status_code == ready.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json()["error"]["code"] == "full"
    assert [each.status_code for each in answers] == [200] * 6
    assert service.gate.inside == 0
    fresh = make_service(index=False, discovery=False)
    with TestClient(create_app(fresh), base_url="http://localhost") as client:
        for content, together in zip(pictures, answers, strict=True):
            alone = client.post("/api/v1/predict?embedding=true", files={"image": content}).json()
            np.testing.assert_allclose(together.json()["embedding"], alone["embedding"], rtol=1e-4, atol=1e-5)


def test_birds(client: TestClient, data_folder: Path) -> None:
    """Photos as cameras make them."""
    photos = sorted((data_folder / "CUB_200_2011" / "images").rglob("*.jpg"))[:3]
    for photo in photos:
        said = client.post("/api/v1/predict", files={"image": photo.read_bytes()})
        assert said.status_code == 200 and said.json()["levels"]
        cut = client.post("/api/v1/predict", files={"image": photo.read_bytes()[: photo.stat().st_size // 2]})
        assert cut.json()["error"]["code"] == "broken-image"
