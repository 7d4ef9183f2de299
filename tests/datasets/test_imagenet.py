"""ImageNet folders: splits, lists and classes on small trees, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from linnet.datasets import imagenet, load_data
from linnet.errors import DataError

DOG, CAT, TOY, ROOT = "n00000010", "n00000020", "n00000030", "n00000001"
HUSKY, POODLE, TABBY, MANX, PUG = "n00000011", "n00000012", "n00000021", "n00000022", "n00000031"
IS_A = [(ROOT, DOG), (ROOT, CAT), (DOG, HUSKY), (DOG, POODLE), (CAT, TABBY), (CAT, MANX), (DOG, TOY), (TOY, PUG)]
WORDS = {ROOT: "entity", DOG: "dog, domestic dog", CAT: "cat", HUSKY: "husky", TABBY: "tabby", MANX: "Manx, Manx cat"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / imagenet.FOLDER
    for synset in (HUSKY, POODLE, TABBY, MANX):
        add(folder / "train" / synset, 2)
    (folder / "wordnet.is_a.txt").write_text("".join(f"{parent} {child}\n" for parent, child in IS_A))
    (folder / "words.txt").write_text("".join(f"{synset}\t{words}\n" for synset, words in WORDS.items()))
    return tmp_path


def add(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"{folder.name}_{number}.JPEG").touch()


def test_folders_of_synsets(root: Path) -> None:
    add(root / "imagenet" / "val" / HUSKY, 1)
    add(root / "imagenet" / "val" / PUG, 1)
    (root / "imagenet" / "train" / HUSKY / "notes.txt").touch()
    manifest = load_data("imagenet", root)
    assert manifest.taxonomy.levels == ("coarse", "fine")
    assert manifest.taxonomy.classes == (
        (f"{DOG} dog", f"{CAT} cat"),
        (f"{HUSKY} husky", POODLE, f"{TABBY} tabby", f"{MANX} Manx"),
    )
    assert manifest.taxonomy.parents[1] == (0, 0, 1, 1)
    assert manifest.targets.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [1, 2], [1, 2], [1, 3], [1, 3], [0, 0]]
    assert manifest.split_names == ("train", "test"), "val is the test split where there is no other"
    assert manifest.rows("test").tolist() == [8], "the pug has no training images"
    assert manifest.path(8) == root / "imagenet" / "val" / HUSKY / f"{HUSKY}_0.JPEG"


def test_the_papers_subset(root: Path) -> None:
    add(root / "imagenet" / "train" / PUG, 1)
    manifest = load_data("imagenet-parents", root)
    assert manifest.taxonomy.classes == ((f"{CAT} cat",), (f"{TABBY} tabby", f"{MANX} Manx"))
    assert manifest.targets.tolist() == [[0, 0], [0, 0], [0, 1], [0, 1]]
    (root / "imagenet" / "wordnet.is_a.txt").write_text("".join(f"{p} {c}\n{ROOT} {c}\n" for p, c in IS_A))
    with pytest.raises(DataError, match="of 5 classes none is left"):
        load_data("imagenet-parents", root)


def test_levels_at_depths(root: Path) -> None:
    add(root / "imagenet" / "train" / PUG, 1)
    tree = imagenet.load(root, depths=[1, 2]).taxonomy
    assert tree.levels == ("depth1", "depth2", "fine")
    assert tree.classes[0] == (f"{DOG} dog", f"{CAT} cat")
    assert tree.classes[1] == (f"{HUSKY} husky", POODLE, f"{TABBY} tabby", f"{MANX} Manx", TOY)
    assert tree.classes[2][4] == PUG and tree.parents[2] == (0, 1, 2, 3, 4)
    for wrong in ([], [0], [2, 1], [2, 2]):
        with pytest.raises(DataError, match="give rising numbers"):
            imagenet.load(root, depths=wrong)


def flat(root: Path, name: str, count: int) -> Path:
    (root / "imagenet" / name).mkdir()
    for number in range(1, count + 1):
        (root / "imagenet" / name / f"ILSVRC2010_{name}_{number:08d}.JPEG").touch()
    return root / "imagenet"


def test_a_flat_folder_and_a_list(root: Path) -> None:
    folder = flat(root, "val", 2)
    (folder / "val.txt").write_text(f"ILSVRC2010_val_00000002.JPEG {MANX}\nval/ILSVRC2010_val_00000001.JPEG {HUSKY}\n")
    manifest = imagenet.load(root)
    assert manifest.targets[manifest.rows("test")].tolist() == [[0, 0], [1, 3]]
    (folder / "val.txt").write_text(f"ILSVRC2010_val_00000002.JPEG {MANX}\n")
    with pytest.raises(DataError, match=r"val.txt: [^$]*00000001.JPEG: not in the list"):
        imagenet.load(root)
    (folder / "val.txt").write_text(f"ILSVRC2010_val_00000002.JPEG {MANX}\nILSVRC2010_val_00000001.JPEG 17\n")
    with pytest.raises(DataError, match=r"00000001.JPEG: '17'"):
        imagenet.load(root)


def test_the_development_kit(root: Path) -> None:
    folder = flat(root, "val", 2)
    flat(root, "test", 3)
    data = folder / "devkit" / "data"
    data.mkdir(parents=True)
    kinds = np.dtype([("ILSVRC2010_ID", "O"), ("WNID", "O"), ("words", "O")])
    rows = [(1, MANX, "Manx"), (2, HUSKY, "husky"), (1001, DOG, "dog")]
    savemat(data / "meta.mat", {"synsets": np.array(rows, dtype=kinds).reshape(-1, 1)})
    (data / "ILSVRC2010_validation_ground_truth.txt").write_text("1\n2\n")
    manifest = imagenet.load(root)
    assert manifest.split_names == ("train", "test"), "test images without labels are no split"
    assert manifest.targets[manifest.rows("test"), 1].tolist() == [3, 0]
    (data / "ILSVRC2010_test_ground_truth.txt").write_text("2\n2\n1\n")
    manifest = imagenet.load(root)
    assert manifest.split_names == ("train", "validation", "test")
    assert manifest.targets[manifest.rows("validation"), 1].tolist() == [3, 0]
    assert manifest.targets[manifest.rows("test"), 1].tolist() == [0, 0, 3]
    (data / "ILSVRC2010_test_ground_truth.txt").write_text("2\n2\n")
    with pytest.raises(DataError, match="2 labels for 3 images"):
        imagenet.load(root)
    (data / "ILSVRC2010_test_ground_truth.txt").write_text("2\n2\n7\n")
    with pytest.raises(DataError, match="line 3: '7'"):
        imagenet.load(root)
    for content in (b"", b"MATLAB 5.0 MAT-file", (data / "meta.mat").read_bytes()[:300]):
        (data / "meta.mat").write_bytes(content)
        with pytest.raises(DataError, match=r"meta.mat: not the development kit's list"):
            imagenet.load(root)


def test_what_is_absent_is_named(root: Path) -> None:
    folder = flat(root, "val", 1)
    with pytest.raises(DataError, match="no list tells its labels"):
        imagenet.load(root)
    (folder / "words.txt").unlink()
    with pytest.raises(DataError, match=r"'words.txt' are not in .*image-net.org.*LINNET_DATA"):
        imagenet.load(root)
    (folder / "words.txt").touch()
    for path in sorted((folder / "train").rglob("*.JPEG")):
        path.unlink()
    with pytest.raises(DataError, match="train holds no images"):
        imagenet.load(root)
    (folder / "train").rename(folder / "trian")
    with pytest.raises(DataError, match="train is not there"):
        imagenet.load(root)


def test_a_synset_that_wordnet_lacks(root: Path) -> None:
    add(root / "imagenet" / "train" / "n99999999", 1)
    with pytest.raises(DataError, match=r"wordnet.is_a.txt does not have:\n  n99999999"):
        imagenet.load(root)
