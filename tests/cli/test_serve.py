"""What `linnet serve` says before it serves."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "run"
    train(tiny_recipe(epochs=1), folder, tiny_manifest(), progress=False)
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["serve", *map(str, arguments), "--engine", "torch"])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served, which is not."""
    found: list[Any] = []

    def keep(service: Any, listening: socket.socket, names: tuple[str, ...], ready: Any) -> None:
        found.append((listening.getsockname(), names))
        listening.close()
        ready()

    monkeypatch.setattr("linnet.web.server.serve", keep)
    return found


def test_this_machine_alone_unless_told(run: Path, served: list[Any]) -> None:
    done = call(run, "--port", 0)
    assert done.exit_code == 0, done.output
    assert served[0][0][0] == "127.0.0.1"
    assert "warning" not in done.output
    assert f"http://127.0.0.1:{served[0][0][1]}/" in done.output
    done = call(run, "--port", 0, "--host", "0.0.0.0", "--allow-host", "birds.lab")
    assert done.exit_code == 0, done.output
    assert "no password and no encryption" in done.output
    assert served[1][1] == ("birds.lab",)


def test_mistakes_are_told(run: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call(run, "--port", taken.getsockname()[1])
    assert done.exit_code == 2 and "choose another --port" in done.output
    assert call(tmp_path, "--port", 0).exit_code == 2
    for option in ("--index", "--discovery"):
        done = call(run, option, tmp_path, "--port", 0)
        assert done.exit_code == 2 and "Traceback" not in done.output
    assert call(run, "--host", "no.such.host.invalid", "--port", 0).exit_code == 2
