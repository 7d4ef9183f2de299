"""Pictures that come in: every bad kind has its answer, and none leaves anything on disk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from linnet.web import Limits, create_app
from tests.web.conftest import MakeService, picture

PREDICT = "/api/v1/predict"


@pytest.fixture
def small(make_service: MakeService) -> Iterator[TestClient]:
    """A server that takes 20,000 bytes and 10,000 pixels."""
    limits = Limits(upload_bytes=20_000, pixels=10_000)
    with TestClient(create_app(make_service(limits=limits)), base_url="http://localhost") as opened:
        yield opened


def send(client: TestClient, content: bytes, name: str = "a.png") -> tuple[int, str]:
    said = client.post(PREDICT, files={"image": (name, content)})
    return said.status_code, said.json().get("error", {}).get("code", "")


def bomb(kind: str, side: int = 60_000) -> bytes:
    """A file of a few bytes whose header tells of a huge picture."""
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
        body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
        return b"\x89PNG\r\n\x1a\n" + body
    if kind == "WEBP":
        most = 16_383
        chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + most.to_bytes(3, "little") + most.to_bytes(3, "little")
        return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    content = bytearray(picture("JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", side, side)
    return bytes(content)


def no_pixel() -> bytes:
    """A PNG file whose header tells of a width of 0."""
    return bomb("PNG").replace(struct.pack(">II", 60_000, 60_000), struct.pack(">II", 0, 60_000))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_kind_is_taken_by_its_content(client: TestClient, kind: str) -> None:
    content = picture(kind)
    assert send(client, content, "notes.txt") == (200, "")
    raw = client.post(PREDICT, content=content, headers={"Content-Type": "application/octet-stream"})
    assert raw.status_code == 200
    assert raw.json() == client.post(PREDICT, files={"image": ("x", content)}).json()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", (400, "empty")),
        (b"GIF89a" + bytes(50), (415, "unsupported-kind")),
        (b"<svg onload='alert(1)'/>", (415, "unsupported-kind")),
        (picture("JPEG")[:300], (422, "broken-image")),
        (picture("PNG")[:60], (422, "broken-image")),
        (picture("WEBP")[:40], (422, "broken-image")),
        (picture("WEBP")[:18], (422, "broken-image")),
        (b"\xff\xd8\xff" + bytes(100), (422, "broken-image")),
        (bomb("PNG"), (413, "too-many-pixels")),
        (bomb("WEBP"), (413, "too-many-pixels")),
        (bomb("JPEG"), (413, "too-many-pixels")),
        (no_pixel(), (422, "broken-image")),
    ],
    ids=lambda value: str(value)[:24],
)
def test_each_bad_picture_has_its_answer(client: TestClient, content: bytes, expected: tuple[int, str]) -> None:
    assert send(client, content) == expected
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("size", [(4000, 2), (1, 50_000)])
def test_long_pictures_are_taken(client: TestClient, size: tuple[int, int]) -> None:
    """Only their middle is enlarged, here as in `linnet predict`."""
    assert send(client, picture("PNG", size)) == (200, "")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animated_pictures_are_refused(client: TestClient, kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 100, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:], duration=50)
    assert send(client, stream.getvalue()) == (422, "animated")


def test_size_is_counted_whatever_is_told(small: TestClient) -> None:
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (99, 99, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    assert len(stream.getvalue()) > 20_000
    assert send(small, stream.getvalue()) == (413, "too-large")
    read = []

    def pieces() -> Iterator[bytes]:
        for _ in range(10_000):  # no Content-Length
            read.append(1)
            yield bytes(1000)

    said = small.post(PREDICT, content=pieces(), headers={"Content-Type": "image/png"})
    assert (said.status_code, said.json()["error"]["code"]) == (413, "too-large")
    assert send(small, picture("PNG", (200, 60))) == (413, "too-many-pixels")


def test_forms_that_are_no_forms(client: TestClient) -> None:
    def code(content: bytes, kind: str) -> tuple[int, str]:
        said = client.post(PREDICT, content=content, headers={"Content-Type": kind})
        return said.status_code, said.json()["error"]["code"]

    assert code(b"{}", "application/json") == (415, "unsupported-body")
    assert code(b"x", "multipart/form-data") == (400, "malformed")
    assert code(b"no boundary in it", "multipart/form-data; boundary=b") == (400, "malformed")
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    assert code(head + picture(), "multipart/form-data; boundary=b") == (400, "cut-short")
    twice = (head + picture() + b"\r\n") * 2 + b"--b--\r\n"
    assert code(twice, "multipart/form-data; boundary=b") == (400, "malformed")
    other = client.post(PREDICT, files={"file": ("a.png", picture())})
    assert (other.status_code, other.json()["error"]["code"]) == (400, "malformed")


def test_pictures_are_turned_upright(client: TestClient) -> None:
    upright = Image.open(io.BytesIO(picture("PNG", (64, 48))))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    answers = [
        client.post(f"{PREDICT}?embedding=true", files={"image": ("a", content)}).json()
        for content in (stream.getvalue(), picture("PNG", (64, 48)))
    ]
    assert answers[0] == answers[1]


def test_an_upload_is_answered_as_its_file_is(client: TestClient, made: Path) -> None:
    from linnet.predict import Predictor

    file = sorted((made / "photos").rglob("*.png"))[5]
    expected = Predictor.open(made / "run", engine="torch")([file])[0]
    said = client.post(f"{PREDICT}?embedding=true", files={"image": file.read_bytes()}).json()
    np.testing.assert_allclose(said["embedding"], expected.embedding, rtol=1e-5, atol=1e-6)
    assert [level["name"] for level in said["levels"]] == [level.name for level in expected.levels]


def test_nothing_is_written(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = []
    for name in ("SpooledTemporaryFile", "NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, lambda *_, **__: made.append(1))
    noise = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    before = set(tmp_path.iterdir())
    assert len(stream.getvalue()) > 2**21
    assert send(client, stream.getvalue()) == (200, "")
    assert client.post("/identify", files={"image": ("a.png", picture())}).status_code == 200
    assert not made
    assert set(tmp_path.iterdir()) == before
