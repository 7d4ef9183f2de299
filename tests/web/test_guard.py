"""Who may ask, and what every answer carries."""

from __future__ import annotations

import logging

import pytest
from starlette.testclient import TestClient

from linnet.web.guard import HEADERS, allowed_host
from tests.web.conftest import picture


@pytest.mark.parametrize(
    ("host", "bound", "names", "expected"),
    [
        ("127.0.0.1:8000", "127.0.0.1", (), True),
        ("localhost", "127.0.0.1", (), True),
        ("[::1]:8000", "127.0.0.1", (), True),
        ("evil.example", "127.0.0.1", (), False),
        ("127.0.0.1.evil.example", "127.0.0.1", (), False),
        ("localhost.evil.example:8000", "127.0.0.1", (), False),
        ("192.168.1.5", "127.0.0.1", (), False),
        ("", "127.0.0.1", (), False),
        ("192.168.1.5:80", "0.0.0.0", (), True),
        ("evil.example", "0.0.0.0", (), False),
        ("birds.lab", "0.0.0.0", ("Birds.lab",), True),
        ("192.168.1.5", "192.168.1.5", (), True),
    ],
)
def test_hosts(host: str, bound: str, names: tuple[str, ...], expected: bool) -> None:
    assert allowed_host(host, bound, names) is expected


def test_other_names_are_not_answered(client: TestClient) -> None:
    said = client.get("/", headers={"Host": "evil.example"})
    assert said.status_code == 421
    assert "Linnet" not in said.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_changes_from_other_pages_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    version = client.get("/api/v1/discovery").json()["version"]
    for path in ("/api/v1/discovery/undo", "/discover/undo", "/api/v1/predict"):
        said = client.post(path, json={"version": version}, headers=headers)
        assert (said.status_code, said.json()["error"]["code"]) == (403, "other-origin")
    own = client.post("/api/v1/predict", files={"image": picture()}, headers={"Origin": "http://127.0.0.1:8000"})
    assert own.status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/linnet.js", "/nowhere", "/api/v1/about", "/api/v1/images/999999"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    said = client.get(path)
    assert {name: said.headers[name] for name in HEADERS} == HEADERS
    assert len(said.headers["x-request-id"]) == 12
    policy = said.headers["content-security-policy"]
    assert "unsafe" not in policy and "http" not in policy


def test_failures_tell_an_id_and_nothing_else(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.app.state.service, "run", None)  # type: ignore[attr-defined]
    said = client.get("/api/v1/about")
    assert said.status_code == 500
    assert said.json()["error"]["request"] == said.headers["x-request-id"]
    assert "Traceback" not in said.text and "NoneType" not in said.text


def test_the_log_has_no_content(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "linnet.web"):
        said = client.post("/api/v1/predict", files={"image": ("my-secret-place.png", picture())})
    lines = [record.getMessage() for record in caplog.records if record.name == "linnet.web"]
    assert len(lines) == 1
    assert lines[0].startswith(f"{said.headers['x-request-id']} POST /api/v1/predict 200 ")
    assert "secret" not in caplog.text


def test_texts_are_bounded(client: TestClient) -> None:
    said = client.post("/api/v1/discovery/undo", json={"version": "x" * 2_000_000})
    assert said.status_code == 413
    said = client.post("/discover/undo", content=iter([b"version=" + b"x" * 2_000_000]))
    assert said.status_code == 413
