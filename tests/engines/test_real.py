"""Engines on photos of birds, by a MobileNetV2 with ImageNet weights, where LINNET_DATA names a folder of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from linnet.backbones import build_backbone
from linnet.datasets import load_data
from linnet.engines import open_engine
from linnet.engines.eager import open_eager
from linnet.engines.parity import compare
from linnet.images import Preprocessing, load_images
from linnet.methods import method_class
from linnet.methods.base import Task
from linnet.metrics.recall import recall_at_k
from linnet.training.bundle import Bundle

SIDE = 96


def test_birds(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO gives torch's recall; int8 is near, as ranges end where ReLU6 does and one layer is left alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manifest = load_data("cub", data_folder)
    rows = manifest.rows("test")[::40].tolist()
    weights = data_folder / "weights" / "mobilenet_v2_imagenet.safetensors"
    net = build_backbone("mobilenet_v2", weights=weights)
    method = method_class("instance").build(lambda: net, Task(torch.from_numpy(manifest.taxonomy.membership(0, 1))))
    bundle = Bundle(method.eval(), manifest.taxonomy, 0, 1, Preprocessing(SIDE), {"method": "instance"})
    images = load_images([manifest.path(row) for row in rows], bundle.preprocessing)
    expected = open_eager(bundle, torch.device("cpu"))(images)
    given = open_engine(bundle, "openvino")(images)
    assert compare(expected, given).cosine[0] > 0.9999
    labels = torch.from_numpy(manifest.targets[rows, 0])
    assert recall_at_k(given.embedding, labels, (1,))[1] == recall_at_k(expected.embedding, labels, (1,))[1]
    quantised = open_engine(bundle, "openvino-int8", calibration=images, labels=labels)(images)
    assert 0.99 < compare(expected, quantised).cosine[1] < 0.99999
