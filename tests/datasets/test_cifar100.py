from __future__ import annotations

import io
import pickle
import tarfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from linnet import files
from linnet.datasets import cifar100, fetch, load_data
from linnet.errors import DataError

COARSE = (b"fish", b"trees")
FINE = (b"oak_tree", b"shark", b"trout", b"willow_tree")
PARENTS = np.array([1, 0, 0, 1])


def official(images: int, seed: int) -> dict[bytes, Any]:
    """A file's content in the official form, with few images."""
    rng = np.random.default_rng(seed)
    fine = np.arange(images) % len(FINE)
    return {
        b"data": rng.integers(0, 256, (images, 3072), dtype=np.uint8),
        b"fine_labels": fine.tolist(),
        b"coarse_labels": PARENTS[fine].tolist(),
        b"filenames": [b"same_name.png"] * images,
        b"batch_label": b"a batch",
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in for the official folder, whose sums the reader takes for the official ones."""
    folder = tmp_path / "data" / cifar100.FOLDER
    write(folder, monkeypatch, train=official(8, 0), test=official(4, 1))
    return folder.parent


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    changed.setdefault("meta", {b"coarse_label_names": list(COARSE), b"fine_label_names": list(FINE)})
    for name, content in changed.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=3))
        monkeypatch.setitem(cifar100.MD5, name, files.digest(folder / name, "md5"))


@pytest.mark.parametrize("inside", [False, True])
def test_reads_from_the_folder_and_from_the_one_above(root: Path, inside: bool) -> None:
    manifest = cifar100.load(root / cifar100.FOLDER if inside else root)
    assert len(manifest) == 12
    assert manifest.taxonomy.levels == ("coarse", "fine")
    assert manifest.taxonomy.classes == (("fish", "trees"), ("oak_tree", "shark", "trout", "willow_tree"))
    assert manifest.taxonomy.parents[1] == (1, 0, 0, 1)
    assert manifest.split_names == ("train", "test")
    assert manifest.rows("train").tolist() == list(range(8))
    assert manifest.rows("test").tolist() == list(range(8, 12))
    assert manifest.targets[8:].tolist() == [[1, 0], [0, 1], [0, 2], [1, 3]]
    names = manifest.images.to_pylist()
    assert names[0] == "train/00000_same_name.png"
    assert len(set(names)) == 12


def test_pixels_are_channels_last(root: Path) -> None:
    pixels = cifar100.load(root).pixels
    assert pixels is not None and pixels.shape == (12, 32, 32, 3) and pixels.dtype == np.uint8
    data = official(8, 0)[b"data"]
    row, y, x, channel = 5, 3, 7, 2
    assert pixels[row, y, x, channel] == data[row, channel * 1024 + y * 32 + x]


def test_root_comes_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_DATA", str(root))
    assert len(load_data("cifar100")) == 12
    monkeypatch.delenv("LINNET_DATA")
    monkeypatch.setenv("HOME", "/home/someone")
    assert fetch.data_root() == Path("/home/someone/.cache/linnet")
    assert fetch.data_root("~/sets") == Path("/home/someone/sets")


def test_a_changed_file_is_refused(root: Path) -> None:
    path = root / cifar100.FOLDER / "test"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"test: not the official CIFAR-100 file 'test'.*md5.*delete it and"):
        cifar100.load(root)


def test_an_absent_set_says_what_where_and_how(tmp_path: Path) -> None:
    (tmp_path / cifar100.FOLDER).mkdir()
    (tmp_path / cifar100.FOLDER / "meta").touch()
    with pytest.raises(DataError) as caught:
        cifar100.load(tmp_path)
    message = str(caught.value)
    assert "'train', 'test'" in message and "'meta'" not in message
    for part in (str(tmp_path / cifar100.FOLDER), cifar100.URL, "tar xzf", "LINNET_DATA", "download=True"):
        assert part in message


class Attack:
    """Unpickles, where it is let, to a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("attack", [Attack(print, "ran"), Attack(exec, "1/0"), Attack(Path.touch, Path("ran"))])
def test_a_malicious_pickle_is_refused(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    attack: Attack,
) -> None:
    write(root / cifar100.FOLDER, monkeypatch, meta={b"fine_label_names": attack})
    with pytest.raises(DataError, match=r"meta: refused as a CIFAR-100 file: it asks for \w+"):
        cifar100.load(root)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"\x80\x03.", b"not a pickle", b"\x80\x03]q\x00."])
def test_a_file_that_is_no_pickled_dictionary_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = root / cifar100.FOLDER / "train"
    path.write_bytes(content)
    monkeypatch.setitem(cifar100.MD5, "train", files.digest(path, "md5"))
    with pytest.raises(DataError, match="train: refused as a CIFAR-100 file"):
        cifar100.load(root)


def test_labels_in_two_coarse_classes_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = official(8, 0)
    wrong[b"coarse_labels"][0] = 0
    write(root / cifar100.FOLDER, monkeypatch, train=wrong)
    with pytest.raises(DataError, match="two coarse classes"):
        cifar100.load(root)


class Server(BaseHTTPRequestHandler):
    """Serves one archive; may break the first answer off, and may honour ranges."""

    def __init__(self, content: bytes, asked: list[str | None], *args: Any, breaks: bool, ranges: bool) -> None:
        self.content, self.asked, self.breaks, self.ranges = content, asked, breaks, ranges
        super().__init__(*args)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        if not self.path.endswith(".tar.gz"):
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.breaks and len(self.asked) == 1 else body)

    def log_message(self, *args: Any) -> None:
        pass


def serve(content: bytes, *, breaks: bool = False, ranges: bool = True) -> tuple[ThreadingHTTPServer, list[str | None]]:
    asked: list[str | None] = []
    handler = partial(Server, content, asked, breaks=breaks, ranges=ranges)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server, asked


def archive_of(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in cifar100.MD5:
            tar.add(folder / name, f"{cifar100.FOLDER}/{name}")
        extra = tarfile.TarInfo("../../escaped")
        extra.size = 3
        tar.addfile(extra, io.BytesIO(b"out"))
    return buffer.getvalue()


@pytest.mark.parametrize(("breaks", "ranges"), [(False, True), (True, True), (True, False)])
def test_download(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: bool, ranges: bool) -> None:
    content = archive_of(root / cifar100.FOLDER)
    server, asked = serve(content, breaks=breaks, ranges=ranges)
    target = tmp_path / "there" / "deep"
    with server:
        monkeypatch.setattr(cifar100, "URL", f"http://127.0.0.1:{server.server_port}/{cifar100.ARCHIVE}")
        monkeypatch.setattr(cifar100, "ARCHIVE_MD5", md5(content, tmp_path))
        fetched = cifar100.load(target, download=True)
        assert asked == ([None, f"bytes={len(content) // 2}-"] if breaks else [None])
        again = cifar100.load(target, download=True)
        server.shutdown()
    assert len(asked) == (2 if breaks else 1)
    assert fetched.images.to_pylist() == again.images.to_pylist() == cifar100.load(root).images.to_pylist()
    assert sorted(p.name for p in target.iterdir()) == [cifar100.FOLDER, cifar100.ARCHIVE]
    assert not list(tmp_path.rglob("escaped"))


def md5(content: bytes, folder: Path) -> str:
    (folder / "sum").write_bytes(content)
    return files.digest(folder / "sum", "md5")


@pytest.mark.parametrize(
    ("path", "message"),
    [("wrong.tar.gz", "what came is not the official"), ("nothing", "answers 404")],
)
def test_a_failed_download_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    server, _ = serve(b"something else")
    with server:
        monkeypatch.setattr(cifar100, "URL", f"http://127.0.0.1:{server.server_port}/{path}")
        with pytest.raises(DataError, match=message):
            cifar100.load(tmp_path, download=True)
        server.shutdown()
    assert not list(tmp_path.iterdir())


def test_no_network_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = serve(b"")
    server.shutdown()
    server.server_close()
    monkeypatch.setattr(cifar100, "URL", f"http://127.0.0.1:{server.server_port}/{cifar100.ARCHIVE}")
    with pytest.raises(DataError, match=r"cannot be fetched \(.*refused.*\); check the network"):
        cifar100.load(tmp_path, download=True)


def test_an_archive_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "some.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(DataError, match="'meta' not found"):
        fetch.unpack_members(archive, {"meta": tmp_path / "meta"})
    archive.write_bytes(b"no tar")
    with pytest.raises(DataError, match="cannot be read as a tar archive"):
        fetch.unpack_members(archive, {"meta": tmp_path / "meta"})


def test_the_official_files(data_folder: Path) -> None:
    manifest = load_data("cifar100", data_folder)
    tree = manifest.taxonomy
    assert len(manifest) == 60_000 and manifest.split_names == ("train", "test")
    assert (tree.count("coarse"), tree.count("fine")) == (20, 100)
    assert tree.membership().sum(axis=1).tolist() == [5] * 20
    assert tree.classes[0][tree.ancestor()[tree.index("fine", "maple_tree")]] == "trees"
    for split, count in (("train", 500), ("test", 100)):
        fine = manifest.targets[manifest.rows(split), 1]
        assert np.bincount(fine, minlength=100).tolist() == [count] * 100
    assert np.array_equal(tree.ancestor()[manifest.targets[:, 1]], manifest.targets[:, 0])
    assert len(set(manifest.images.to_pylist())) == 60_000
    assert manifest.images[0].as_py() == "train/00000_bos_taurus_s_000507.png"
    pixels = manifest.pixels
    assert pixels is not None and pixels.shape == (60_000, 32, 32, 3) and pixels.dtype == np.uint8
    means = pixels[manifest.rows("train")].mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.5071, 0.4865, 0.4409], atol=1e-4)  # the figures everyone normalises by
