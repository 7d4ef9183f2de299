"""What is not saved outlives the server: the draft beside the discovery."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from linnet import files
from linnet.cli.app import app
from linnet.discover import Discovery, merge, move, open_discovery, rename, save_discovery, split
from linnet.discover.draft import draft_path
from linnet.errors import RunError
from linnet.randomness import generator
from linnet.web import create_app
from linnet.web.desk import Desk
from linnet.web.problems import Problem
from tests.web.conftest import MakeService


def same(one: Discovery, other: Discovery) -> bool:
    return one.clusters == other.clusters and bool((one.cluster == other.cluster).all())


def named(desk: Desk, name: str, c: int = 0, number: int = 0) -> None:
    desk.change(desk.state.version, f"name {name}", lambda there: rename(there, c, number, name))


def test_every_kind_of_step_is_there_after_a_new_start(desk_folder: Path) -> None:
    draw, desk = generator(0, "steps on the desk"), Desk(desk_folder, undo=5)
    for number in range(24):
        c = int(draw.integers(0, len(desk.state.discovery.coarse_names)))
        there = desk.state.discovery
        clusters = [each.number for each in there.clusters[c]]
        place = int(draw.choice(there.places(c)))
        largest = max(clusters, key=lambda each: len(there.members(c, each)))
        kinds = {
            "name": lambda d, c=c, n=number, k=clusters[0]: rename(d, c, k, f"kind {n}"),
            "merge": lambda d, c=c, k=clusters[-2:]: merge(d, c, k, "both"),
            "split": lambda d, c=c, k=largest: split(d, c, k),
            "move": lambda d, p=place: move(d, [p], None),
            "leave out": lambda d, p=place: move(d, [p], -1),
        }
        told = str(draw.choice(list(kinds))) if len(clusters) > 1 else "split"
        desk.change(desk.state.version, told, kinds[told])
        again = Desk(desk_folder, undo=5)
        assert same(again.state.discovery, desk.state.discovery)
        assert (again.state.version, again.state.undoable) == (desk.state.version, desk.state.undoable)
        assert again.state.unsaved and "were taken up again" in again.state.note
        if number % 7 == 3:
            desk.undo(desk.state.version)
        if number % 11 == 10:
            desk.save(desk.state.version)
            assert not draft_path(desk_folder).exists()
    states = []
    for each in (desk, Desk(desk_folder, undo=5)):
        while each.state.undoable:
            each.undo(each.state.version)
        states.append(each.state)
        files.remove(draft_path(desk_folder))
    assert same(states[0].discovery, states[1].discovery)


def test_taking_all_back_or_discarding_leaves_no_draft(desk_folder: Path) -> None:
    named(Desk(desk_folder), "one")
    desk = Desk(desk_folder)
    named(desk, "two")
    desk.undo(desk.state.version)
    desk.undo(desk.state.version)
    assert not desk.state.unsaved and desk.state.note == "" and not draft_path(desk_folder).exists()
    named(desk, "three")
    assert not desk.discard(desk.state.version).unsaved
    assert not draft_path(desk_folder).exists() and not Desk(desk_folder).state.unsaved
    assert desk.undo(desk.state.version).discovery.get(0, 0).name == "three", "a slip is mended"
    assert Desk(desk_folder).state.discovery.get(0, 0).name == "three"


def test_steps_before_a_save_can_be_taken_back_after_a_new_start(desk_folder: Path) -> None:
    desk = Desk(desk_folder)
    named(desk, "one")
    named(desk, "two")
    desk.save(desk.state.version)
    desk.undo(desk.state.version)
    again = Desk(desk_folder)
    assert again.state.discovery.get(0, 0).name == "one" and again.state.unsaved
    assert again.undo(again.state.version).discovery.get(0, 0).name == ""
    assert open_discovery(desk_folder).get(0, 0).name == "two"


def test_a_draft_of_another_state_is_put_aside_and_told(desk_folder: Path) -> None:
    for number in (1, 2):
        named(Desk(desk_folder), f"mine {number}")
        content = draft_path(desk_folder).read_bytes()
        save_discovery(rename(open_discovery(desk_folder), 0, 0, f"theirs {number}"), desk_folder)
        desk = Desk(desk_folder)
        aside = desk_folder / f"draft-{number}.json"
        assert str(aside) in desk.state.note and not desk.state.unsaved
        assert desk.state.discovery.get(0, 0).name == f"theirs {number}"
        named(desk, "more")
        assert aside.read_bytes() == content
        desk.save(desk.state.version)
        assert desk.state.note == ""


def test_a_draft_of_what_was_saved_just_goes(desk_folder: Path) -> None:
    """As of a server that was killed between the two."""
    desk = Desk(desk_folder)
    named(desk, "crested")
    save_discovery(desk.state.discovery, desk_folder)
    assert draft_path(desk_folder).exists()
    again = Desk(desk_folder)
    assert again.state.note == "" and not again.state.unsaved
    assert [path.name for path in desk_folder.glob("draft*")] == []


def test_of_two_servers_the_second_to_change_is_told(desk_folder: Path) -> None:
    one, other = Desk(desk_folder), Desk(desk_folder)
    named(one, "mine")
    with pytest.raises(Problem, match="Another server works on"):
        named(other, "theirs")
    with pytest.raises(Problem, match="Another server works on"):
        other.save(other.state.version)
    named(one, "mine too", number=1)
    one.save(one.state.version)
    with pytest.raises(Problem, match="changed by another program"):
        named(other, "theirs")
    assert open_discovery(desk_folder).get(0, 0).name == "mine"


def test_a_step_that_cannot_be_kept_is_not_made(desk_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(desk_folder)
    named(desk, "kept")
    before = desk.state

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("linnet.files.write_text", full)
    with pytest.raises(Problem, match="No space left on device; the change was not made") as raised:
        named(desk, "lost")
    assert raised.value.status == 507
    assert desk.state.version == before.version and desk.state.discovery is before.discovery
    assert Desk(desk_folder).state.discovery.get(0, 0).name == "kept"


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        '{"format": 2}',
        {"steps": [{"told": ""}]},
        {"steps": [{"told": "", "places": [10**6], "to": [0], "clusters": {}}]},
        {"steps": [{"told": "", "places": [0], "to": [77], "clusters": {}}]},
        {"steps": [{"told": "", "places": [], "to": [], "clusters": {"unicorn": []}}]},
        {"changed": "yesterday"},
    ],
)
def test_a_draft_that_cannot_be_read_is_told(desk_folder: Path, wrong: object) -> None:
    named(Desk(desk_folder), "one")
    path = draft_path(desk_folder)
    path.write_text(wrong if isinstance(wrong, str) else json.dumps(json.loads(path.read_text()) | dict(wrong)))  # type: ignore[call-overload]
    with pytest.raises(RunError, match=r"draft\.json"):
        Desk(desk_folder)
    assert path.exists()


def test_the_application_goes_on_where_the_last_one_ended(make_service: MakeService) -> None:
    with TestClient(create_app(make_service()), base_url="http://localhost") as client:
        version = client.get("/api/v1/discovery").json()["version"]
        said = client.patch("/api/v1/discovery/0/0", json={"version": version, "name": "crested"}).json()
        assert said["unsaved"] and said["note"] == ""
    with TestClient(create_app(make_service()), base_url="http://localhost") as client:
        assert "were taken up again" in client.get("/discover").text
        page = client.get("/discover/0").text
        assert 'value="crested"' in page and "Draft, not saved yet" in page
        # A tab that was open all the time shows this very state, and may go on.
        text = client.post("/discover/0/1/name", data={"version": said["version"], "name-1": "barred"}).text
        assert "were taken up again" in text
        version = client.get("/api/v1/discovery").json()["version"]
        assert version != said["version"]
        said = client.post("/api/v1/discovery/discard", json={"version": version}).json()
        assert (said["unsaved"], said["undoable"], said["note"]) == (False, "discard all changes", "")
        text = client.post("/discover/undo", data={"version": said["version"], "class": "0"}).text
        assert 'value="crested"' in text and 'value="barred"' in text
        version = client.get("/api/v1/discovery").json()["version"]
        text = client.post("/discover/discard", data={"version": version, "class": "0"}).text
        assert 'value="crested"' not in text and "All saved" in text
        version = client.get("/api/v1/discovery").json()["version"]
        answer = client.post("/discover/undo", data={"version": version})
        assert answer.headers["HX-Refresh"] == "true", "the overview shows every class"


def test_the_command_that_names_does_not_pass_a_draft_over(desk_folder: Path, tmp_path: Path) -> None:
    named(Desk(desk_folder), "crested")
    done = CliRunner().invoke(app, ["discover", "name", str(desk_folder), "--out", str(tmp_path / "new.csv")])
    assert done.exit_code == 2 and "save or discard them" in done.output.replace("\n", " ")
    assert not (tmp_path / "new.csv").exists()
    desk = Desk(desk_folder)
    desk.save(desk.state.version)
    assert "crested" in {each.name for each in open_discovery(desk_folder).clusters[0]}
