"""The discovery desk: steps, undo, versions, and what reaches the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from linnet import files
from linnet.discover import open_discovery, rename, save_discovery
from linnet.manifest import read_manifest
from linnet.web.desk import Desk
from linnet.web.problems import Problem

BASE = "/api/v1/discovery"


def version_of(client: TestClient) -> str:
    return str(client.get(BASE).json()["version"])


def step(client: TestClient, method: str, path: str, **given: Any) -> Any:
    said = client.request(method, f"{BASE}{path}", json={"version": version_of(client), **given})
    assert said.status_code == 200, said.text
    return said.json()


def shape(client: TestClient, c: int = 0) -> dict[int, tuple[str, int]]:
    found = client.get(f"{BASE}/{c}").json()["clusters"]
    return {each["number"]: (each["name"], each["images"]) for each in found}


def test_name_merge_split_move_undo(client: TestClient, desk_folder: Path) -> None:
    first = shape(client)
    total = sum(images for _, images in first.values())
    step(client, "PATCH", "/0/0", name=" crested ")
    assert shape(client)[0][0] == "crested"
    step(client, "POST", "/0/merge", numbers=[0, 1])
    assert shape(client)[0] == ("crested", first[0][1] + first[1][1])
    step(client, "POST", "/0/0/split")
    assert len(shape(client)) == 3
    place = client.get(f"{BASE}/0/0").json()["places"][0]
    said = step(client, "POST", "/move", places=[place], to="new")
    assert said["undoable"] == "move 1 image"
    assert sum(images for _, images in shape(client).values()) == total
    step(client, "POST", "/move", places=[place], to="none")
    assert client.get(f"{BASE}/0").json()["in_none"] == 1
    while client.get(BASE).json()["undoable"]:
        step(client, "POST", "/undo")
    assert shape(client) == first
    assert not client.get(BASE).json()["unsaved"]
    before = files.digest(desk_folder / "discovery.json")
    said = client.post(f"{BASE}/undo", json={"version": version_of(client)})
    assert said.status_code == 409
    assert files.digest(desk_folder / "discovery.json") == before


def test_saving_lasts(client: TestClient, desk_folder: Path) -> None:
    step(client, "PATCH", "/1/2", name="spotted")
    assert open_discovery(desk_folder).get(1, 2).name == ""
    assert client.get(BASE).json()["unsaved"]
    said = step(client, "POST", "/save", table=True)
    assert not client.get(BASE).json()["unsaved"]
    assert Desk(desk_folder).state.discovery.get(1, 2).name == "spotted"
    table = read_manifest(said["table"])
    coarse = open_discovery(desk_folder).coarse_names[1]
    level = len(table.taxonomy.levels) - 1
    assert "spotted" in table.taxonomy.classes[level]
    inside = [open_discovery(desk_folder).splits[place] for place in open_discovery(desk_folder).members(1, 2)]
    assert said["labelled"] == sum(split != "test" for split in inside) and said["command"].startswith("linnet train ")
    assert coarse in table.taxonomy.classes[0]
    assert table.path(0).exists()
    step(client, "POST", "/save", table=True)


def test_of_two_tabs_the_second_is_told(client: TestClient) -> None:
    seen = version_of(client)
    for path, given in (("/0/0", {"name": "mine"}), ("/0/1", {"name": "theirs"})):
        said = client.patch(f"{BASE}{path}", json={"version": seen, **given})
        expected = 200 if given["name"] == "mine" else 409
        assert said.status_code == expected
    assert shape(client)[1][0] == ""
    for path, given in (("/save", {}), ("/undo", {}), ("/move", {"places": [0], "to": "new"}), ("/0/0/split", {})):
        said = client.post(f"{BASE}{path}", json={"version": seen, **given})
        assert (said.status_code, said.json()["error"]["code"]) == (409, "conflict")


def test_versions_of_another_start_do_not_count(desk_folder: Path) -> None:
    with pytest.raises(Problem, match="changed meanwhile"):
        Desk(desk_folder).save(Desk(desk_folder).state.version)


def test_a_folder_that_others_changed_is_not_overwritten(client: TestClient, desk_folder: Path) -> None:
    step(client, "PATCH", "/0/0", name="mine")
    save_discovery(rename(open_discovery(desk_folder), 0, 0, "theirs"), desk_folder)
    said = client.post(f"{BASE}/save", json={"version": version_of(client)})
    assert (said.status_code, said.json()["error"]["code"]) == (409, "conflict")
    assert open_discovery(desk_folder).get(0, 0).name == "theirs"


def test_what_cannot_be_done_is_told_and_changes_nothing(client: TestClient) -> None:
    version, first = version_of(client), shape(client)
    places = [client.get(f"{BASE}/{c}/0").json()["places"][0] for c in (0, 1)]
    wrong: list[tuple[str, str, dict[str, Any], int]] = [
        ("PATCH", "/0/77", {"name": "x"}, 422),
        ("PATCH", "/77/0", {"name": "x"}, 404),
        ("PATCH", "/0/0", {"name": "a\nb"}, 422),
        ("PATCH", "/0/0", {"name": "x" * 201}, 422),
        ("PATCH", "/0/0", {"name": "x", "more": 1}, 422),
        ("POST", "/0/merge", {"numbers": [1]}, 422),
        ("POST", "/0/merge", {"numbers": [1, 1]}, 422),
        ("POST", "/0/merge", {"numbers": [0, 77]}, 422),
        ("POST", "/move", {"places": places, "to": "new"}, 422),
        ("POST", "/move", {"places": [-1], "to": "new"}, 422),
        ("POST", "/move", {"places": [10**9], "to": 0}, 422),
        ("POST", "/move", {"places": [10**30], "to": 0}, 422),
        ("POST", "/move", {"places": [places[0]], "to": "elsewhere"}, 422),
        ("POST", "/save", {"table": True}, 422),
    ]
    for method, path, given, status in wrong:
        said = client.request(method, f"{BASE}{path}", json={"version": version, **given})
        assert said.status_code == status, (path, given, said.text)
        assert said.json()["error"]["message"]
    assert shape(client) == first
    assert version_of(client) == version


def test_the_pages_forms_do_the_same(client: TestClient) -> None:
    def post(path: str, **fields: Any) -> Any:
        said = client.post(
            f"/discover{path}", data={"version": version_of(client), **fields}, headers={"HX-Request": "true"}
        )
        assert said.status_code == 200, said.text
        return said.text

    first = shape(client)
    assert "Draft, not saved yet" in post("/0/0/name", **{"name-0": "one"})
    post("/0/1/name", **{"name-1": "two"})
    text = post("/0/merge", cluster=["0", "1"])
    assert shape(client)[0] == ("one", first[0][1] + first[1][1])
    assert 'value="one"' in text
    post("/0/0/split")
    post("/0/move", place=client.get(f"{BASE}/0/0").json()["places"][:1], to="none")
    post("/undo", **{"class": "0"})
    post("/undo")
    said = client.post("/discover/0/move", data={"version": version_of(client), "place": "x", "to": "new"})
    assert said.status_code == 422
    assert "Saved in" in post("/save")


def test_members_come_by_pages_and_each_once(client: TestClient) -> None:
    found: list[int] = []
    while True:
        page = client.get(f"{BASE}/0/0?offset={len(found)}&limit=3").json()
        found += page["places"]
        if len(found) >= page["total"]:
            break
    assert len(set(found)) == len(found) == shape(client)[0][1]
    assert client.get(f"{BASE}/images/{found[0]}/picture").headers["content-type"] == "image/jpeg"
    assert client.get(f"{BASE}/images/99999/picture").status_code == 404
