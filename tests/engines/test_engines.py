from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from linnet.engines import open_engine
from linnet.engines.base import CannotRunError, Engine
from linnet.engines.choose import CheckedEngine
from linnet.engines.eager import open_eager
from linnet.engines.int8 import quantise
from linnet.engines.kept import content_digest, kept_graph
from linnet.engines.parity import compare, complaint
from linnet.errors import RecipeError, RunError
from linnet.methods.base import Prediction
from linnet.training.bundle import Bundle
from tests.engines.bundles import SIDE, make_bundle, pictures


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the module's tests, so that a graph is exported once."""
    folder = tmp_path_factory.getbasetemp() / "engines-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def agree(bundle: Bundle, engine: Engine, count: int = 5) -> None:
    images, _ = pictures(count)
    expected, given = open_eager(bundle, torch.device("cpu"))(images), engine(images)
    assert complaint(compare(expected, given), "float32") is None
    for name in ("coarse_logits", "fine_logits"):
        assert (getattr(given, name) is None) == (getattr(expected, name) is None)
    assert given.embedding.dtype == torch.float32


@pytest.mark.parametrize("method", ["coins", "instance", "orthogonal-ensemble", "min-pool"])
def test_openvino_agrees_with_torch(method: str) -> None:
    bundle = make_bundle(method, **({"members": 2} if method == "orthogonal-ensemble" else {}))
    engine = open_engine(bundle, "openvino")
    for count in (1, 5, 8):
        agree(bundle, engine, count)
    assert (engine.name, len(engine(torch.zeros(0, 3, SIDE, SIDE)).embedding)) == ("openvino", 0)


def test_torch_gives_what_predict_gives() -> None:
    bundle, (images, _) = make_bundle("fine"), pictures(6)
    said = open_engine(bundle, "torch", device="cpu")(images)
    with torch.inference_mode():
        expected = bundle.method.predict(images)
    torch.testing.assert_close(said.embedding, expected.embedding)
    assert said.fine_logits is not None and expected.fine_logits is not None
    torch.testing.assert_close(said.fine_logits, expected.fine_logits)


@pytest.mark.slow
def test_compiled_agrees_with_torch() -> None:
    bundle = make_bundle("coins")
    engine = open_engine(bundle, "compile", device="cpu")
    for count in (1, 5):
        agree(bundle, engine, count)


def test_int8_tells_its_loss(caplog: pytest.LogCaptureFixture) -> None:
    bundle, (images, labels) = make_bundle("coins"), pictures(64)
    for _ in range(2):  # made, then from the cache
        with caplog.at_level(logging.WARNING, "linnet"):
            engine = open_engine(bundle, "openvino-int8", calibration=images, labels=labels)
        assert "on 16 images held out: cosine to float32 0.9" in caplog.text and "recall@1" in caplog.text
        caplog.clear()
    assert engine.precision == "int8"
    parity = compare(open_eager(bundle, torch.device("cpu"))(images), engine(images))
    assert 0.98 < parity.cosine[0] < 0.999999  # it is quantised, and no worse than that


def test_int8_leaves_the_first_depthwise_convolution_alone(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")

    def kinds(path: Path) -> list[tuple[bool, bool]]:
        """Of each convolution, whether it is depthwise, and whether its weights come out of int8."""
        graph = onnx.load(str(path)).graph
        made = {output: node.op_type for node in graph.node for output in node.output}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        groups = [next((each.i for each in node.attribute if each.name == "group"), 1) for node in convolutions]
        quantised = [made.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
        return [(group > 1, each) for group, each in zip(groups, quantised, strict=True)]

    ensemble = make_bundle("orthogonal-ensemble", "mobilenet_v2", members=2)
    bundles = (make_bundle("coarse", "mobilenet_v2"), make_bundle("coarse", "cifar-resnet10"), ensemble)
    for bundle, nets in zip(bundles, (1, 0, 2), strict=True):
        graph, _ = kept_graph(bundle)
        quantise(graph, pictures(16)[0], tmp_path / "int8.onnx")
        found = kinds(tmp_path / "int8.onnx")
        left = [place for place, (_, quantised) in enumerate(found) if not quantised]
        all_depthwise = [place for place, (depthwise, _) in enumerate(found) if depthwise]
        assert left == all_depthwise[:nets]  # of several nets, the layers come in turns


def test_int8_needs_images() -> None:
    with pytest.raises(RecipeError, match="0 given, at least 16 needed"):
        open_engine(make_bundle("coins"), "openvino-int8")


def test_a_graph_is_made_once_and_a_changed_one_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle("coins")
    path, outputs = kept_graph(bundle)
    made = path.stat().st_mtime_ns
    assert kept_graph(bundle) == (path, outputs) and path.stat().st_mtime_ns == made
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert kept_graph(bundle) == (path, outputs)
    agree(bundle, open_engine(bundle, "openvino"))
    assert path.stat().st_mtime_ns != made


def test_other_weights_are_another_graph() -> None:
    first, second = make_bundle("coins"), make_bundle("coins")
    assert content_digest(first) == content_digest(second)
    with torch.no_grad():
        next(second.method.parameters()).add_(1)
    assert content_digest(first) != content_digest(second)
    assert content_digest(first) != content_digest(replace(first, card={**first.card, "options": {"cosine": True}}))


def test_a_name_that_is_none() -> None:
    with pytest.raises(RecipeError, match=r"choose one of auto, torch.*did you mean 'openvino'"):
        open_engine(make_bundle("coins"), "openvno")


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.engines import packages

    whole = packages.import_module

    def absent(package: str) -> ModuleType:
        if package.split(".", maxsplit=1)[0] == name:
            raise ImportError(f"No module named {name!r}")
        return whole(package)

    monkeypatch.setattr(packages, "import_module", absent)


def test_without_openvino(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    without("openvino", monkeypatch)
    bundle = make_bundle("coins")
    with pytest.raises(RunError, match=r'openvino is not installed.*pip install "linnet\[fast\]"'):
        open_engine(bundle, "openvino")
    with caplog.at_level(logging.INFO, "linnet"):
        engine = open_engine(bundle, "auto", device="cpu")
    assert engine.name == "torch" and len(caplog.records) == 1 and "linnet[fast]" in caplog.text
    agree(bundle, engine)


class Off:
    """An engine that is wrong by a factor for some of the numbers."""

    name, precision = "openvino", "float32"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, images: Tensor) -> Prediction:
        said = self._engine(images)
        wrong = said.embedding.clone()
        wrong[:, 0] += wrong.norm(dim=1)
        return replace(said, embedding=wrong)


def test_an_engine_that_is_off_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    bundle, (images, _) = make_bundle("coins"), pictures(5)
    eager = partial(open_eager, bundle, torch.device("cpu"))
    engine = CheckedEngine(eager, [lambda: Off(eager()), eager], "auto")
    assert engine.name == "openvino"
    with caplog.at_level(logging.INFO, "linnet"):
        torch.testing.assert_close(engine(images).embedding, eager()(images).embedding)
        engine(images)
    assert engine.name == "torch" and len(caplog.records) == 1
    assert "openvino in float32: an embedding's cosine to torch's is 0.7" in caplog.text
    with pytest.raises(RunError, match="'openvino' cannot be used: openvino in float32: an embedding's cosine"):
        CheckedEngine(eager, [lambda: Off(eager())], "openvino")(images)


def test_what_cannot_be_a_graph_runs_in_torch(monkeypatch: pytest.MonkeyPatch, caplog: Any, tmp_path: Path) -> None:
    from linnet.methods.coins import Coins

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    whole = Coins.predict

    def by_data(self: Coins, images: Tensor) -> Prediction:
        return whole(self, images if float(images.sum()) < 1e9 else images + 1)

    monkeypatch.setattr(Coins, "predict", by_data)
    bundle = make_bundle("coins")
    with pytest.raises(CannotRunError, match="cannot be written as an ONNX graph"):
        kept_graph(bundle)
    with caplog.at_level(logging.INFO, "linnet"):
        engine = open_engine(bundle, device="cpu")
    assert engine.name == "torch" and "cannot be written as an ONNX graph" in caplog.text
    agree(bundle, engine)


def test_signals_are_still_handled_after_openvino(tmp_path: Path) -> None:
    """What OpenVINO does to the stack for signals must not outlive it: a child that ends once killed the process."""
    script = tmp_path / "script.py"
    script.write_text(
        "import gc, signal, subprocess, threading\n"
        "from linnet.engines import open_engine\n"
        "from tests.engines.bundles import make_bundle\n"
        "signal.signal(signal.SIGCHLD, lambda *_: None)\n"
        "engines = [open_engine(make_bundle('coins'), 'openvino')]\n"
        "thread = threading.Thread(target=lambda: (engines.clear(), gc.collect()))\n"
        "thread.start()\n"
        "thread.join()\n"
        "print(subprocess.run(['true']).returncode)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
