"""Files named from the working folder or from the folder of data sets; the rest of `fetch` is tested with CIFAR-100."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.datasets.fetch import find_file
from linnet.errors import DataError


def test_a_file_is_found_here_then_in_the_root_then_among_the_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, root, sets = (tmp_path / name for name in ("here", "root", "sets"))
    for folder in (here, root, sets):
        (folder / "weights").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("LINNET_DATA", str(sets))
    name = "weights/net.safetensors"
    with pytest.raises(DataError) as raised:
        find_file(name, root)
    assert all(str(place) in str(raised.value) for place in (name, root / name, sets / name, "LINNET_DATA"))
    (sets / name).touch()
    assert find_file(name) == find_file(name, root) == sets / name
    assert find_file(sets / name) == sets / name
    (root / name).touch()
    assert (find_file(name), find_file(name, root)) == (sets / name, root / name)
    (here / name).touch()
    assert find_file(name, root) == Path(name)
