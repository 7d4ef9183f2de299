"""A run, an index and a discovery, small enough to be made in seconds, and the application over them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from linnet.datasets.creatures import write_folder
from linnet.discover import Settings, discover, save_discovery
from linnet.discover.embed import manifest_of, read_data, run_subjects
from linnet.predict import Predictor
from linnet.search import Index, build_index
from linnet.training.api import train
from linnet.web import Limits, Service, create_app
from linnet.web.desk import Desk
from tests.training.tiny import tiny_recipe


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, `run`, `index` and `discovery`; not to be changed."""
    folder = tmp_path_factory.mktemp("web")
    write_folder(folder / "photos", size=32, train_per_class=4, test_per_class=2)
    run = train(tiny_recipe(data=str(folder / "photos"), method="coins", epochs=1), folder / "run", progress=False)
    build_index(run, None, folder / "index", engine="torch", progress=False)
    # What a user has who needs the desk: no fine label.
    photos = sorted((folder / "photos").rglob("*.png"))
    lines = [f"{path.relative_to(folder)},{path.parts[-4]},{path.parts[-3]}" for path in photos]
    (folder / "coarse.csv").write_text("\n".join(["image,split,coarse", *lines]))
    subjects = run_subjects(run, read_data(run, str(folder / "coarse.csv"), None, {}, None), progress=False)
    save_discovery(discover(subjects, Settings(clusters=3, repeats=2)), folder / "discovery")
    return folder


@pytest.fixture
def desk_folder(made: Path, tmp_path: Path) -> Path:
    """The discovery, to be changed."""
    return Path(shutil.copytree(made / "discovery", tmp_path / "discovery"))


MakeService = Callable[..., Service]


@pytest.fixture
def make_service(made: Path, desk_folder: Path) -> MakeService:
    """A service over all parts, or with some left out, and with other limits."""

    def make(*, index: bool = True, discovery: bool = True, limits: Limits | None = None) -> Service:
        desk = Desk(desk_folder) if discovery else None
        return Service(
            made / "run",
            Predictor.open(made / "run", engine="torch"),
            Index.open(made / "index") if index else None,
            desk,
            manifest_of(desk.state.discovery) if desk else None,
            limits or Limits(),
        )

    return make


@pytest.fixture
def client(make_service: MakeService) -> Iterator[TestClient]:
    """A client of the whole application, as a program on this machine would be."""
    with TestClient(create_app(make_service()), base_url="http://127.0.0.1:8000") as opened:
        yield opened


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), shade: int = 0, **options: object) -> bytes:
    """A file of stripes."""
    width, height = size
    values = (np.arange(width)[None, :, None] * 5 + np.arange(height)[:, None, None] * 3 + shade) % 256
    pixels: NDArray[np.uint8] = np.repeat(values, 3, 2).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()
