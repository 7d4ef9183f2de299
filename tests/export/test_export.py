from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from linnet.errors import RunError
from linnet.export import export_onnx, from_pretrained, graph_file, save_pretrained
from linnet.images.augment import normalise
from linnet.training.api import train
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "fine"
    recipe = tiny_recipe(method="fine", epochs=1, select_on="test", validation=0.0)
    made = train(recipe, folder, tiny_manifest(), progress=False)
    made.evaluate("test")
    return made


def pixels(count: int = 9) -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = tiny_manifest().pixels
    assert found is not None
    return np.ascontiguousarray(found[:: len(found) // count][:count])


def images(run: Run, count: int = 9) -> torch.Tensor:
    return normalise(torch.from_numpy(pixels(count)).permute(0, 3, 1, 2), run.bundle.preprocessing)


def test_a_round_trip_predicts_the_same(run: Run, tmp_path: Path) -> None:
    folder = save_pretrained(run, tmp_path / "saved")
    assert {each.name for each in folder.iterdir()} == {
        "README.md", "classes.json", "config.json", "model.safetensors",
    }  # fmt: skip
    opened = from_pretrained(folder)
    with torch.inference_mode():
        said, expected = (each.method.predict(images(run)) for each in (opened, run.bundle))
    for name in ("embedding", "coarse_logits", "fine_logits"):
        assert torch.equal(getattr(said, name), getattr(expected, name))
    assert opened.taxonomy == run.bundle.taxonomy and opened.preprocessing == run.bundle.preprocessing


def test_saved_again_it_is_the_same(run: Run, tmp_path: Path) -> None:
    first, second = (save_pretrained(run, tmp_path / name) for name in ("a", "b"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    assert str(run.folder) not in (first / "config.json").read_text() + (first / "README.md").read_text()


def test_the_card_tells_figures_floors_and_leaks(run: Run, tmp_path: Path) -> None:
    text = (save_pretrained(run, tmp_path, license="apache-2.0") / "README.md").read_text()
    header, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert {"library_name: linnet", 'license: "apache-2.0"', '- "fine"'} <= set(header.splitlines())
    said = run.evaluated("test")
    assert said is not None
    for name in ("fine_top1", "fine_recall@1"):
        assert f"| `{name}` | {said.figures[name]:.2f} % | {said.floors[name]:.2f} |" in body
    assert "epoch chosen on the test split (replication only)" in body and "from_pretrained" in body


def test_a_card_without_figures_says_so(run: Run, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run.folder, copied)
    (copied / "evaluation-test.json").unlink()
    text = (save_pretrained(Run.open(copied), tmp_path / "saved") / "README.md").read_text()
    assert "None were measured" in text and "license:" not in text.split("---")[1]


def test_classes_tell_the_order_of_the_logits(run: Run, tmp_path: Path) -> None:
    said = json.loads((save_pretrained(run, tmp_path) / "classes.json").read_text())
    taxonomy = run.bundle.taxonomy
    coarse, fine = said["levels"]
    assert fine["classes"] == list(taxonomy.classes[1]) and coarse["parents"] is None
    assert [coarse["classes"][place] for place in fine["parents"]] == [
        taxonomy.classes[0][place] for place in taxonomy.parents[1]
    ]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_was_changed_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    folder = save_pretrained(run, tmp_path / "saved")
    content = bytearray((folder / name).read_bytes())
    if name == "config.json":
        content = bytearray(content.replace(b'"fine"', b'"os.system"'))
    else:
        content[-1] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"changed since it was written|do not fit|not one of"):
        from_pretrained(folder)


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"no config\.json there"):
        from_pretrained(tmp_path)
    with pytest.raises(RunError, match="no such folder, and no repository's name"):
        from_pretrained(tmp_path / "absent")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RunError, match=r"linnet-tests/absent: .*the Hugging Face hub does not give it.*the network"):
        from_pretrained("linnet-tests/absent")  # tests are offline


def test_a_repository_is_a_snapshot_of_its_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    folder = save_pretrained(run, tmp_path / "snapshot")
    asked = {}

    def snapshot(name: str, **options: Any) -> str:
        asked[name] = options
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert from_pretrained("birds/linnet", revision="v1").card["method"] == "fine"
    assert asked["birds/linnet"]["revision"] == "v1" and "model.safetensors" in asked["birds/linnet"]["allow_patterns"]


@pytest.mark.parametrize("uint8", [False, True])
def test_the_graph_gives_what_torch_gives(run: Run, tmp_path: Path, uint8: bool) -> None:
    import onnxruntime

    parity = export_onnx(run.bundle, pixels(), tmp_path, uint8=uint8)
    assert parity.images == 9 and parity.agreement["fine_logits"] == 1.0
    said = json.loads((tmp_path / "model.json").read_text())
    assert [each["name"] for each in said["outputs"]] == ["embedding", "coarse_logits", "fine_logits"]
    assert said["input"]["shape"] == (["batch", 16, 16, 3] if uint8 else ["batch", 3, 16, 16])
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for count in (1, 5):
        given = pixels(count) if uint8 else images(run, count).numpy()
        logits = session.run(["fine_logits"], {"images": given})[0]
        with torch.inference_mode():
            expected = run.bundle.method.predict(images(run, count)).fine_logits
        assert expected is not None
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-4)


def test_a_graph_that_is_off_is_not_left(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = graph_file.export_module

    def wrong(module: torch.nn.Module, *rest: Any) -> None:
        class Wrong(torch.nn.Module):
            def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
                embedding, *others = module(images)
                return (embedding + 1, *others)

        whole(Wrong(), *rest)

    monkeypatch.setattr(graph_file, "export_module", wrong)
    with pytest.raises(RunError, match="does not give what torch gives on 9 images: an embedding's cosine"):
        export_onnx(run.bundle, pixels(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_onnx(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.engines import packages

    def absent(package: str) -> None:
        raise ImportError(f"No module named {package!r}")

    monkeypatch.setattr(packages, "import_module", absent)
    with pytest.raises(RunError, match=r'onnxruntime is not installed.*pip install "linnet\[export\]"'):
        export_onnx(run.bundle, pixels(), tmp_path)


def test_the_code_in_the_documentation_runs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run.folder, tmp_path / "RUN")
    export_onnx(run.bundle, pixels(), tmp_path / "RUN/export")
    Image.fromarray(pixels(1)[0]).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        script = tmp_path / f"block{number}.py"
        script.write_text(block)
        made = runpy.run_path(str(script))
    assert made["said"].embedding.shape == (1, run.bundle.method.embedding_dim)
