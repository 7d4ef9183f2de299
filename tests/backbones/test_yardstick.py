"""The frozen MobileNetV2 on real birds: pooled features, leave-one-out cosine, one view of 160 pixels.

With the padding that its weights were trained with 65.7; torchvision's symmetric padding gives 64.8 here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from linnet.backbones import build_backbone, default_preprocessing
from linnet.images import Preprocessing, load_images


@pytest.mark.slow
def test_mobilenet_finds_birds_as_well_as_its_weights_promise(data_folder: Path) -> None:
    birds, weights = data_folder / "CUB_200_2011", data_folder / "weights/mobilenet_v2_imagenet.safetensors"
    if not birds.is_dir() or not weights.is_file():
        pytest.skip(f"{data_folder} holds no CUB_200_2011 or no weights")
    names = dict(line.split() for line in (birds / "images.txt").read_text().splitlines())
    labels = dict(line.split() for line in (birds / "image_class_labels.txt").read_text().splitlines())
    split = dict(line.split() for line in (birds / "train_test_split.txt").read_text().splitlines())
    test = [key for key in names if split[key] == "0"]
    backbone = build_backbone("mobilenet_v2", weights=weights).eval()
    assert backbone.start == "imagenet"
    defaults = default_preprocessing("mobilenet_v2")
    preprocessing = Preprocessing(160, None, defaults.mean, defaults.std)
    embeddings = []
    with torch.inference_mode():
        for start in range(0, len(test), 64):
            images = load_images([birds / "images" / names[key] for key in test[start : start + 64]], preprocessing)
            embeddings.append(functional.normalize(backbone(images)))
    unit = torch.cat(embeddings)
    similar = (unit @ unit.T).fill_diagonal_(-2)
    classes = np.asarray([labels[key] for key in test])
    recall = 100 * float(np.mean(classes[similar.argmax(1).numpy()] == classes))
    assert len(test) == 2903
    assert recall == pytest.approx(65.7, abs=0.4)
