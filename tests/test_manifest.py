"""Manifest: every source, round trips, and every error a user can cause, with its place and remedy."""

from __future__ import annotations

import json
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from linnet.attributes import Attributes, read_attributes, write_attributes
from linnet.errors import ManifestError, TaxonomyError
from linnet.folders import readable_suffixes
from linnet.manifest import Manifest, build_manifest, from_dataset, read_manifest, write_manifest
from linnet.manifest_read import distinct_labels
from linnet.tables import SUFFIXES, Places
from linnet.taxonomy import Taxonomy

PETS = "image,split,coarse,fine\na.jpg,train,dog,husky\nb.jpg,val,,husky\nc.jpg,test,cat,\nd.jpg,,,\n"


def saved(folder: Path, content: str | bytes, name: str = "pets.csv") -> Path:
    target = folder / name
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


def names(manifest: Manifest) -> list[tuple[str | None, ...]]:
    """Class names per row and level."""
    classes = [[*level, None] for level in manifest.taxonomy.classes]
    return [tuple(level[code] for level, code in zip(classes, row, strict=True)) for row in manifest.targets.tolist()]


def column(texts: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.string())])


# Reading what is right


def test_csv(tmp_path: Path) -> None:
    source = saved(tmp_path, PETS)
    manifest = read_manifest(source)
    assert len(manifest) == 4
    assert manifest.taxonomy.levels == ("coarse", "fine")
    assert names(manifest) == [("dog", "husky"), ("dog", "husky"), ("cat", None), (None, None)]
    assert manifest.targets.dtype == np.int64
    assert manifest.split_names == ("train", "validation", "test")
    assert manifest.split_codes.tolist() == [0, 1, 2, -1]
    assert manifest.split_codes.dtype == np.int8
    assert manifest.root == tmp_path
    assert manifest.path(0) == tmp_path / "a.jpg"
    assert manifest.where(2) == f"{source}, line 4"
    assert read_manifest(str(source), root="/photos").path(1) == Path("/photos/b.jpg")


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + PETS,
        PETS.replace("\n", "\r\n"),
        "\ufeff" + PETS.replace("\n", "\r\n").rstrip(),
        PETS.replace("\n", "\r"),
        PETS.replace("dog,", " dog ,").replace("coarse", " coarse "),
        PETS.replace("dog", '"dog"'),
        "\n\n" + PETS.replace("\n", "\n\n") + "\n\n",
        PETS.replace(",", "\t"),
        PETS.replace(",", ";"),
    ],
)
def test_the_ways_of_spreadsheets(tmp_path: Path, content: str) -> None:
    expected = read_manifest(saved(tmp_path, PETS)).fingerprint
    suffix = ".tsv" if "\t" in content else ".csv"
    found = read_manifest(saved(tmp_path, content, f"other{suffix}"), delimiter=";" if ";" in content else None)
    assert found.fingerprint == expected


def test_lines_are_those_of_an_editor(tmp_path: Path) -> None:
    content = '\ufeff\nimage,fine\na.jpg,x\n\n"b\n\nc.jpg",y\nd.jpg,z\n'
    manifest = read_manifest(saved(tmp_path, content))
    assert [manifest.where(row).rsplit(", ")[1] for row in range(3)] == ["line 3", "line 5", "line 8"]
    assert manifest.images.to_pylist() == ["a.jpg", "b\n\nc.jpg", "d.jpg"]
    part = manifest.select(np.array([2, 0]))
    assert part.where(0).endswith("line 8")
    assert part.select(np.array([1])).where(0).endswith("line 3")


def test_only_the_empty_cell_is_blank(tmp_path: Path) -> None:
    cells = ["007", "7", "1e3", "NA", "null", "None", "nan", "true", "2020-01-01", "#N/A"]
    rows = "".join(f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells))
    manifest = read_manifest(saved(tmp_path, f"image,fine\n{rows}x.jpg,\ny.jpg,  \n"))
    assert [row[0] for row in names(manifest)] == [*cells, None, None]
    for suffix in SUFFIXES:
        write_manifest(manifest, tmp_path / f"again{suffix}")
        assert names(read_manifest(tmp_path / f"again{suffix}")) == names(manifest)


def test_splits(tmp_path: Path) -> None:
    cells = ["Train", "VAL", "valid", "validation", "test", "gallery", "extra", ""]
    rows = "".join(f"{number},{cell},x\n" for number, cell in enumerate(cells))
    manifest = read_manifest(saved(tmp_path, "image,split,fine\n" + rows))
    assert manifest.split_names == ("train", "validation", "test", "extra", "gallery")
    assert manifest.rows("val").tolist() == manifest.rows("validation").tolist() == [1, 2, 3]
    assert manifest.rows(None).tolist() == list(range(8))
    with pytest.raises(ManifestError, match="no split 'tset'; did you mean 'test'\\?; splits: train, validation"):
        manifest.rows("tset")
    with pytest.raises(ManifestError, match="splits: none"):
        read_manifest(saved(tmp_path, "image,fine\na,x\n")).rows("train")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_blanks_around_image_paths(tmp_path: Path, suffix: str) -> None:
    table = pa.table({"image": [" a.jpg", "b c.jpg\t"], "fine": ["x", "y"]})
    if suffix == ".parquet":
        pq.write_table(table, tmp_path / "pets.parquet")
    elif suffix == ".jsonl":
        saved(tmp_path, "".join(f"{json.dumps(row)}\n" for row in table.to_pylist()), "pets.jsonl")
    else:
        mark = "," if suffix == ".csv" else "\t"
        cells = [" a.jpg", "b c.jpg "]
        saved(tmp_path, f"image{mark}fine\n{cells[0]}{mark}x\n{cells[1]}{mark}y\n", f"pets{suffix}")
    assert read_manifest(tmp_path / f"pets{suffix}").images.to_pylist() == ["a.jpg", "b c.jpg"]


def test_one_image_by_two_paths(tmp_path: Path) -> None:
    rows = "./a/0.jpg,x\na/0.jpg,x\nb//1.jpg,y\nb/././1.jpg,y\nc./2.jpg,x\n.//./d.jpg,x\nd.jpg,x\n.e/3.jpg,x\n"
    with pytest.raises(ManifestError, match=r"3 images are there more than once:\n  'a/0.jpg': .*line 2; .*line 3"):
        read_manifest(saved(tmp_path, "image,fine\n" + rows))
    assert read_manifest(saved(tmp_path, "image,fine\n./a.jpg,x\n../a.jpg,x\n")).images.to_pylist()[0] == "./a.jpg"


def test_headers_in_any_letter_case(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path, "Image,SPLIT,Kind\na,train,x\n"))
    assert (manifest.taxonomy.levels, manifest.split_names) == (("Kind",), ("train",))
    exact = read_manifest(saved(tmp_path, "Image,image,fine\nx,a,y\n"))
    assert (exact.taxonomy.levels, exact.images.to_pylist()) == (("Image", "fine"), ["a"])
    level = read_manifest(saved(tmp_path, "image,Split\na,x\n"), levels=["Split"])
    assert (level.taxonomy.levels, level.split_names) == (("Split",), ())
    with pytest.raises(ManifestError, match="no column 'image'"):
        read_manifest(saved(tmp_path, "Image,IMAGE,fine\na,b,x\n"))


def test_semicolons_are_read_unasked(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path, 'image;price;fine\na.jpg;"1,5";x\nb.jpg;2;y, z\n'), levels=["fine"])
    assert names(manifest) == [("x",), ("y, z",)]
    with pytest.raises(ManifestError, match="line 3: 1 cells instead of 2"):
        read_manifest(saved(tmp_path, "image;fine\na;x\nb\n"))


def test_columns_that_are_no_levels(tmp_path: Path) -> None:
    rows = "a,dog,ann\nb,dog,bob\nc,cat,ann\nd,cat,bob\n"
    with pytest.raises(TaxonomyError, match=r"read as levels are category, photographer;.*choose with levels=category"):
        read_manifest(saved(tmp_path, "image,category,photographer\n" + rows))
    with pytest.raises(TaxonomyError) as error:
        read_manifest(saved(tmp_path, "image,category,photographer\na,dog,ann\nb,cat,ann\n"))
    assert "levels=" not in str(error.value), "one contradiction is a slip in a row"


def test_levels_choose_and_order_columns(tmp_path: Path) -> None:
    source = saved(tmp_path, "fine,image,width,coarse\nhusky,a.jpg,640,dog\n")
    assert read_manifest(source, levels=("coarse", "fine")).taxonomy.parents == ((), (0,))
    with pytest.raises(ManifestError, match="levels names 'corase', which is no column of labels; did you mean"):
        read_manifest(source, levels=("corase", "fine"))


def test_given_taxonomy_fills_in_ancestors(tmp_path: Path) -> None:
    taxonomy = Taxonomy.from_table([("husky", "dog"), ("siam", "cat"), ("corgi", "dog")])
    source = saved(tmp_path, "image,fine\na.jpg,siam\nb.jpg,\nc.jpg,husky\n")
    manifest = read_manifest(source, taxonomy=taxonomy)
    assert manifest.taxonomy == taxonomy
    assert names(manifest) == [("cat", "siam"), (None, None), ("dog", "husky")]
    with pytest.raises(TaxonomyError, match=r"line 2: no fine class 'huskie'; did you mean 'husky'"):
        read_manifest(saved(tmp_path, "image,fine\na.jpg,huskie\n"), taxonomy=taxonomy)
    with pytest.raises(
        ManifestError, match="the column 'breed' is no level of the taxonomy; its levels are coarse, fine"
    ):
        read_manifest(saved(tmp_path, "image,breed\na.jpg,husky\n"), taxonomy=taxonomy)
    with pytest.raises(TaxonomyError, match=r"line 2: coarse 'cat', but fine 'husky' is under 'dog'"):
        read_manifest(saved(tmp_path, "image,coarse,fine\na.jpg,cat,husky\n"), taxonomy=taxonomy)


def test_qualify_and_skips_reach_the_targets(tmp_path: Path) -> None:
    source = saved(tmp_path, "image,coarse,fine\na,dog,other\nb,cat,other\nc,cat,\n")
    manifest = read_manifest(source, qualify=True)
    assert names(manifest) == [("dog", "dog/other"), ("cat", "cat/other"), ("cat", None)]
    source = saved(tmp_path, "image,a,b,c\n1,bird,,gold\n2,,,gold\n")
    assert names(read_manifest(source, allow_skips=True)) == [("bird", "gold", "gold")] * 2


def test_jsonl(tmp_path: Path) -> None:
    content = '\ufeff{"image": "a.jpg", "split": null, "fine": "2020-01-01"}\n\n{"fine": "", "image": "b.jpg"}\n'
    manifest = read_manifest(saved(tmp_path, content, "pets.jsonl"))
    assert names(manifest) == [("2020-01-01",), (None,)]
    assert manifest.split_names == ()
    assert manifest.where(1).endswith("pets.jsonl, line 3")


def test_parquet_of_other_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "image": pa.array(["a", "b", "c"], pa.large_string()),
            "coarse": pa.array(["dog", None, "cat"]).dictionary_encode(),
            "fine": pa.array([7, 7, None], pa.int16()),
            "extra": pa.nulls(3),
        }
    )
    pq.write_table(table, tmp_path / "pets.parquet", row_group_size=2)
    manifest = read_manifest(tmp_path / "pets.parquet")
    assert names(manifest) == [("dog", "7", None), ("dog", "7", None), ("cat", None, None)]
    assert manifest.where(2).endswith("pets.parquet, row 3")
    pq.write_table(table.set_column(2, "fine", pa.array([7.0, 7.0, None])), tmp_path / "pets.parquet")
    with pytest.raises(ManifestError, match="column 'fine' holds double, not text"):
        read_manifest(tmp_path / "pets.parquet")
    embedded = table.set_column(0, "image", pa.array([{"bytes": b"1", "path": None}] * 3))
    pq.write_table(embedded, tmp_path / "pets.parquet")
    with pytest.raises(ManifestError, match="column 'image' holds the images themselves"):
        read_manifest(tmp_path / "pets.parquet")


# Folders


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_folder(tmp_path: Path) -> None:
    root = touch(tmp_path, "dog/husky/1.jpg", "dog/corgi/2.JPEG", "dog/3.png", ".cache/4.jpg", "dog/notes.txt")
    manifest = read_manifest(root)
    assert manifest.images.to_pylist() == ["dog/3.png", "dog/corgi/2.JPEG", "dog/husky/1.jpg"]
    assert names(manifest) == [("dog", None), ("dog", "corgi"), ("dog", "husky")]
    assert manifest.split_names == ()
    assert manifest.where(0) == f"{root}/dog/3.png"
    assert manifest.path(1).is_file()
    assert read_manifest(root, levels=("kind", "breed")).taxonomy.levels == ("kind", "breed")
    with pytest.raises(ManifestError, match=r"2 levels of folders \(as in dog/corgi/2.JPEG\), but 1 named: kind"):
        read_manifest(root, levels=("kind",))


def test_folder_of_splits(tmp_path: Path) -> None:
    root = touch(tmp_path, "Train/dog/1.jpg", "val/dog/1.jpg", "test/train/1.jpg")
    manifest = read_manifest(root)
    assert manifest.split_names == ("train", "validation", "test")
    assert manifest.taxonomy.classes == (("dog", "train"),)
    assert manifest.taxonomy.levels == ("class",)
    touch(root, "stray.jpg")
    with pytest.raises(ManifestError, match=r"images beside the split folders:\n  stray\.jpg"):
        read_manifest(root)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    manifest = read_manifest(touch(tmp_path, "train/1.jpg", "bus/1.jpg"))
    assert manifest.taxonomy.classes == (("bus", "train"),)


def test_no_photo_is_left_out_unnoticed(tmp_path: Path) -> None:
    root = touch(tmp_path, "dog/1.jpg", "dog/2.HEIC", "cat/3.dng", "cat/4.jpg")
    with pytest.raises(
        ManifestError, match=r"2 photos of a kind .*:\n  cat/3\.dng\n  dog/2\.HEIC\nConvert them"
    ) as error:
        read_manifest(root)
    assert "move them out" in str(error.value)


@pytest.mark.parametrize("suffix", sorted(readable_suffixes() - {".avifs", ".jpc", ".j2c"}))
def test_what_is_called_readable_is(tmp_path: Path, suffix: str) -> None:
    kind = {".jpf": "JPEG2000", ".jpx": "JPEG2000", ".pbm": "PPM", ".pgm": "PPM"}.get(suffix)
    target = tmp_path / f"1{suffix}"
    Image.new("RGB", (64, 64)).save(target, kind)
    with Image.open(target) as image:
        image.load()


def test_a_class_folder_without_an_image(tmp_path: Path) -> None:
    root = touch(tmp_path, "dog/husky/1.jpg", "dog/corgi/notes.txt", "cat/.hidden.jpg")
    with pytest.raises(ManifestError, match=r"2 folders without an image.*:\n  cat\n  dog/corgi\nPut their images in"):
        read_manifest(root)


def test_other_files_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "dog/1.jpg", "dog/a.txt", "dog/b.TXT", "Thumbs.db", "dog/.DS_Store", "dog/LICENSE")
    assert len(read_manifest(tmp_path)) == 1
    told = [record.getMessage() for record in caplog.records if record.name == "linnet"]
    assert told == [f"{tmp_path}: passed over: 1 .db, 2 .txt, 1 without a suffix"]


def test_train_beside_a_folder_that_is_no_split(tmp_path: Path) -> None:
    root = touch(tmp_path, "train/dog/1.jpg", "holdout/dog/2.jpg", "test/dog/3.jpg")
    with pytest.raises(
        ManifestError, match="train is a split, holdout is not; move holdout below a split or rename it"
    ):
        read_manifest(root)


def test_folder_with_taxonomy_above(tmp_path: Path) -> None:
    taxonomy = Taxonomy.from_table([("husky", "dog"), ("siam", "cat")])
    manifest = read_manifest(touch(tmp_path, "husky/1.jpg", "siam/1.jpg"), taxonomy=taxonomy)
    assert names(manifest) == [("dog", "husky"), ("cat", "siam")]


def test_folder_with_a_manifest_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    saved(tmp_path, PETS, "manifest.csv")
    assert read_manifest(tmp_path).taxonomy.count("fine") == 1
    saved(tmp_path, PETS, "manifest.tsv")
    with pytest.raises(ManifestError, match=r"several manifests, manifest\.csv, manifest\.tsv"):
        read_manifest(tmp_path)


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no images in it or below; image files end in .*\.bmp"):
        read_manifest(tmp_path)
    touch(tmp_path, "1.jpg")
    with pytest.raises(ManifestError, match="no class folders"):
        read_manifest(tmp_path)
    with pytest.raises(ManifestError, match="unknown kind of table ''"):
        read_manifest(tmp_path / "nowhere")
    touch(tmp_path, "dog/other/1.jpg", "cat/other/1.jpg")
    with pytest.raises(TaxonomyError) as error:
        read_manifest(tmp_path)
    assert f"'cat' ({tmp_path}/cat/other/1.jpg) and under 'dog' ({tmp_path}/dog/other/1.jpg)" in str(error.value)
    assert read_manifest(tmp_path, qualify=True).taxonomy.classes[1] == ("cat/other", "dog/other")


def test_links_that_go_round(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.jpg")
    (tmp_path / "dog" / "again").symlink_to(tmp_path)
    assert len(read_manifest(tmp_path)) == 1


# Reading what is wrong


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "a.csv", "the file is empty"),
        ("\n \n", "a.csv", "column 1 has no name"),
        ("\n\n", "a.csv", "only empty lines"),
        ("image,fine\n", "a.csv", "no rows below the column names"),
        ("", "a.xlsx", r"unknown kind of table '\.xlsx'.*readable are \.csv, \.tsv, \.parquet, \.jsonl"),
        (
            "images,fine\na,x\n",
            "a.csv",
            "no column 'image'; the columns are images, fine; did you mean 'images'",
        ),
        ("image,split\na,train\n", "a.csv", "no column of labels, only image, split"),
        ("image,fine,fine\na,x,y\n", "a.csv", "column 'fine' is there twice"),
        ("image,fine,\na,x,\n", "a.csv", "column 3 has no name"),
        ("image;fine\na;x\n", "a.tsv", "separated by semicolons, not by tabs.*delimiter=';'"),
        ("image|fine\na|x\n", "a.csv", "separated by bars, not by commas.*delimiter='|'"),
        ("image\tfine\na\tx\n", "a.csv", r"separated by tabs.*or the suffix \.tsv"),
        ("image,fine\na,x\n", "a.tsv", "separated by commas, not by tabs"),
        ("image,fine\na,x\nb\nc,y,z\n", "a.csv", "line 3: 1 cells instead of 2: 'b'\n  line 4: 3 cells"),
        ('image,fine\na,"x\nb,y\n', "a.csv", r"'x\\nb,y' \(.*line 2\).*quote left open"),
        ("image,fine\na,x\n,y\n  ,z\n", "a.csv", r"rows without an image:\n  .*line 3\n  .*line 4"),
        (
            "image,fine\na,x\nb,x\na,y\n",
            "a.csv",
            r"1 images are there more than once:\n  'a': .*line 2; .*line 4",
        ),
        ("image,fine\na,Gr\xfcn\n".encode("latin-1"), "a.csv", "not UTF-8 text:\n  line 2: 'a,Gr\xfcn'"),
        ("im\xe4ge,fine\na,x\n".encode("latin-1"), "a.csv", "not UTF-8 text:\n  line 1"),
        ("image,fine\na,x\n".encode("utf-16"), "a.csv", "UTF-16 text; save it as 'CSV UTF-8'"),
        (
            "image,coarse,fine\na,dog,husky\nb,cat,husky\n",
            "a.csv",
            r"under coarse 'dog' \(.*a\.csv, line 2\) and under 'cat'",
        ),
        ("image,coarse,fine\na,,husky\n", "a.csv", r"fine 'husky' has no coarse \(.*line 2\)"),
        ("", "a.jsonl", "the file is empty"),
        ("\n", "a.jsonl", "there are no rows"),
        ("{\n", "a.jsonl", "line 1: not JSON"),
        ("[1]\n", "a.jsonl", "line 1: not a JSON object"),
        (
            '{"image": "a", "fine": "x"}\n{"image": "b", "fine": 3}\n',
            "a.jsonl",
            "line 2: 'fine' is 3, not text; put it",
        ),
        (
            '{"image": "a", "fine": "x"}\n{"image": "b", "coarse": "y"}\n',
            "a.jsonl",
            "line 2: the key 'coarse' is not in",
        ),
        ('{"image": "a", "fine": "x"}\n\n{"image": \n', "a.jsonl", "line 3: not JSON"),
        (b'{"image": "a", "fine": "x"}\n{"image": "b", "fine": "\xfc"}\n', "a.jsonl", "line 2: not UTF-8"),
        ("image,fine\n", "a.parquet", "not a readable Parquet file"),
    ],
)
def test_errors_name_file_row_and_remedy(tmp_path: Path, content: str | bytes, name: str, message: str) -> None:
    source = saved(tmp_path, content, name)
    with pytest.raises((ManifestError, TaxonomyError), match=f"(?s){message}") as error:
        read_manifest(source)
    assert name in str(error.value)


def test_missing_file_names_a_neighbour(tmp_path: Path) -> None:
    saved(tmp_path, PETS, "photos.csv")
    with pytest.raises(ManifestError, match=r"fotos\.csv: no such file; did you mean 'photos\.csv'"):
        read_manifest(tmp_path / "fotos.csv")


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{number},g{number},same\n" for number in range(40))
    with pytest.raises(TaxonomyError, match="and 34 more") as error:
        read_manifest(saved(tmp_path, "image,coarse,fine\n" + rows))
    assert str(error.value).count("is under") == 5


def test_too_many_splits(tmp_path: Path) -> None:
    rows = "".join(f"{number},s{number},x\n" for number in range(200))
    with pytest.raises(ManifestError, match="200 different names in the column split"):
        read_manifest(saved(tmp_path, "image,split,fine\n" + rows))


def test_what_is_no_source() -> None:
    with pytest.raises(ManifestError, match="list is no manifest: give a file, a folder"):
        read_manifest([1, 2])


# Attributes


def test_attributes(tmp_path: Path) -> None:
    photos = saved(tmp_path, PETS)
    table = saved(tmp_path, "name,size,fur\nhusky,1,0.5\ncat,.25,-1e-3\n", "attributes.csv")
    manifest = read_manifest(photos, attributes=table)
    assert manifest.attributes is not None
    assert manifest.attributes.columns == ("size", "fur")
    assert manifest.attributes.values.dtype == np.float32
    assert manifest.attributes.of(["cat", "husky"]).tolist() == [[0.25, np.float32(-1e-3)], [1, 0.5]]
    with pytest.raises(ManifestError, match="not these:\n  'huskie'; did you mean 'husky'"):
        manifest.attributes.of(["huskie"])
    pq.write_table(pa.table({"name": ["husky", "cat"], "size": [1, 0.25], "fur": [0.5, -1e-3]}), tmp_path / "a.parquet")
    again = read_attributes(tmp_path / "a.parquet", manifest.taxonomy)
    assert np.array_equal(again.values, manifest.attributes.values)
    lines = '{"name": "husky", "size": 1, "fur": 0.5}\n{"name": "cat", "size": 0.25, "fur": -0.001}\n'
    assert np.array_equal(read_attributes(saved(tmp_path, lines, "a.jsonl")).values, again.values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\nhusky\n", "only the column 'name'"),
        (
            "name,size\nhusky,big\ncat,\n",
            "line 2, column 'size': 'big' is not a finite number\n.*line 3, column 'size': ''",
        ),
        ("name,size\nhusky,nan\n", "'nan' is not a finite number"),
        ("name,size\nhusky,1e300\n", "'1e300' is not a finite number"),
        ("name,size\nhusky,1\nhusky,2\n", "line 3: class 'husky' is there already, at .*line 2"),
        ("name,size\nhuski,1\n", "line 2: no class 'huski' in the taxonomy; did you mean 'husky'"),
        ("name,size\n,1\n", "line 2: the class name is blank"),
    ],
)
def test_attribute_errors(tmp_path: Path, content: str, message: str) -> None:
    table = saved(tmp_path, content, "attributes.csv")
    with pytest.raises(ManifestError, match=f"(?s){message}"):
        read_manifest(saved(tmp_path, PETS), attributes=table)


def array(folder: Path, values: object, names: str | None = "husky\ncat\n", columns: str | None = None) -> Path:
    """An array of attributes and what stands beside it."""
    np.save(folder / "pets.npy", np.asarray(values))
    for text, what in ((names, "names"), (columns, "columns")):
        if text is not None:
            (folder / f"pets.{what}.txt").write_text(text, encoding="utf-8")
    return folder / "pets.npy"


def test_attributes_from_an_array(tmp_path: Path) -> None:
    path = array(tmp_path, [[1, 0.5], [0.25, -1e-3]])
    manifest = read_manifest(saved(tmp_path, PETS), attributes=path)
    assert manifest.attributes is not None and manifest.attributes.columns == ("attribute_1", "attribute_2")
    assert manifest.attributes.of(["cat"]).tolist() == [[0.25, np.float32(-1e-3)]]
    assert read_attributes(array(tmp_path, [[1, 2], [3, 4]], columns="size\nfur")).columns == ("size", "fur")


@pytest.mark.parametrize(
    ("values", "names", "columns", "message"),
    [
        ([[1.0]], None, None, r"must stand in .*pets\.names\.txt: 1 class names"),
        ([[1.0], [2.0]], "husky\n", None, "names.txt: 1 lines for 2 rows"),
        ([[1.0], [2.0]], "husky\ncat\n", "a\nb\n", "columns.txt: 2 lines for 1 columns"),
        ([[1.0], [2.0]], "husky\nhusky\n", None, "names.txt, line 2: class 'husky' is there already, at .*line 1"),
        ([[1.0], [2.0]], "husky\ndog\n", None, None),
        ([[1.0], [2.0]], "husky\nhuski\n", None, "line 2: no class 'huski' in the taxonomy; did you mean 'husky'"),
        ([[np.inf, 1.0], [2.0, np.nan]], "husky\ncat\n", None, "row 1, column 1: inf is not finite\n.*row 2, column 2"),
        ([[1e300], [2.0]], "husky\ncat\n", None, "row 1, column 1: 1e\\+300 is not finite"),
        ([1.0, 2.0], "husky\ncat\n", None, r"float64 of shape \(2,\); expected numbers"),
        ([["a"], ["b"]], "husky\ncat\n", None, "<U1 of shape"),
    ],
)
def test_arrays_that_cannot_be_used(
    tmp_path: Path, values: object, names: str | None, columns: str | None, message: str | None
) -> None:
    path, pets = array(tmp_path, values, names, columns), saved(tmp_path, PETS)
    if message is None:
        read_manifest(pets, attributes=path)
        return
    with pytest.raises(ManifestError, match=f"(?s){message}"):
        read_manifest(pets, attributes=path)


def test_what_is_no_array_is_refused_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    path = tmp_path / "pets.npy"
    with pytest.raises(ManifestError, match="no such file"):
        read_attributes(path)
    path.write_bytes(b"no array")
    with pytest.raises(ManifestError, match="not a readable array"):
        read_attributes(path)
    np.save(path, np.array([[print]], dtype=object), allow_pickle=True)
    with pytest.raises(ManifestError, match="not a readable array"):
        read_attributes(path)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".tsv"])
def test_attributes_written_are_read_again(tmp_path: Path, suffix: str) -> None:
    values = np.array([[1 / 3, -2e-7], [0, 1e20]], dtype=np.float32)
    table = Attributes(('a "quoted", one', "b"), ("x", "y, z"), values)
    write_attributes(table, tmp_path / f"t{suffix}")
    again = read_attributes(tmp_path / f"t{suffix}")
    assert (again.names, again.columns) == (table.names, table.columns)
    assert np.array_equal(again.values, values)
    with pytest.raises(ManifestError, match=r"written as \.npy, \.csv or \.tsv, not as '\.xls'"):
        write_attributes(table, tmp_path / "t.xls")


def test_attributes_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"values are \(1, 2\), not \(1, 1\)"):
        Attributes(("a",), ("x",), np.zeros((1, 2), np.float32))


# Manifest itself


def test_select_keeps_taxonomy_and_pixels() -> None:
    pixels = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    taxonomy = Taxonomy(("class",), (("b", "a"),), ((),))
    targets = np.array([[0], [1], [-1], [1]])
    codes = np.array([0, 0, 1, -1], dtype=np.int8)
    manifest = Manifest("set", Path(), pa.array(["1", "2", "3", "4"]), taxonomy, targets, ("test", "b"), codes, pixels)
    part = manifest.select(np.array([3, 0]))
    assert part.taxonomy is taxonomy
    assert part.images.to_pylist() == ["4", "1"]
    assert part.labels("class").tolist() == [1, 0]
    assert part.pixels is not None
    assert np.array_equal(part.pixels, pixels[[3, 0]])
    assert [manifest.where(3), part.where(0)] == ["set, row 4", "set, row 4"]
    assert len(manifest.select(np.array([], dtype=np.int64))) == 0
    with pytest.raises(ValueError, match="do not fit 4 images and 1 levels"):
        Manifest("set", Path(), manifest.images, taxonomy, targets[:2], (), codes)
    with pytest.raises(ValueError, match="pixels"):
        Manifest("set", Path(), manifest.images, taxonomy, targets, ("test", "b"), codes, pixels[:1])


def test_fingerprint_minds_content_only(tmp_path: Path) -> None:
    one = read_manifest(saved(tmp_path, PETS))
    turned = Taxonomy(one.taxonomy.levels, (one.taxonomy.classes[0][::-1], one.taxonomy.classes[1]), ((), (0,)))
    flipped = np.where(one.targets[:, :1] >= 0, 1 - one.targets[:, :1], -1)
    same = Manifest(
        "other",
        Path("elsewhere"),
        pa.chunked_array([["a.jpg"], ["b.jpg", "c.jpg", "d.jpg"]]),
        turned,
        np.hstack([flipped, one.targets[:, 1:]]),
        ("test", "train", "validation"),
        np.array([1, 2, 0, -1], dtype=np.int8),
    )
    assert same.fingerprint == one.fingerprint
    changed = [
        PETS.replace("a.jpg", "A.jpg"),
        PETS.replace("c.jpg,test", "c.jpg,train"),
        PETS.replace("cat,", ","),
        PETS.replace("a.jpg", "x").replace("b.jpg", "a.jpg").replace("x", "b.jpg"),
        PETS.replace("test", "extra"),
    ]
    prints = {read_manifest(saved(tmp_path, content)).fingerprint for content in [PETS, *changed]}
    assert len(prints) == 1 + len(changed)


# Letters that tables, spreadsheets and shells trip over come up often.
_TEXT = st.text(
    st.one_of(st.sampled_from("0a,;\"' \t/é中\ufeff"), st.characters(exclude_categories=("Cs", "Cc"))),
    min_size=1,
    max_size=8,
)
_LABELS = _TEXT.map(lambda text: " ".join(unicodedata.normalize("NFC", text).split())).filter(bool)
_IMAGES = _TEXT.map(str.strip).filter(lambda text: bool(text) and "./" not in text and "//" not in text)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Rows whose labels follow a random tree, blank from any level down, or with blank ancestors that "
    "others tell."""
    coarse = draw(st.lists(_LABELS, min_size=1, max_size=3, unique=True))
    fine = draw(st.dictionaries(_LABELS, st.sampled_from(coarse), max_size=4))
    images = draw(st.lists(_IMAGES, min_size=1, max_size=8, unique=True))
    choices = [("", ""), *((name, "") for name in coarse), *((above, name) for name, above in fine.items())]
    told = [draw(st.sampled_from(choices)) for _ in images]
    told = [("", row[1]) if row in told[:at] and draw(st.booleans()) else row for at, row in enumerate(told)]
    split = draw(st.one_of(st.none(), st.just([draw(st.sampled_from(["", "train", "val", "x,y"])) for _ in images])))
    return build_manifest(
        "drawn",
        Path(),
        column(images),
        None if split is None else column(split),
        {"coarse": column([row[0] for row in told]), "fine": column([row[1] for row in told])},
        Places("row", range(1, len(images) + 1)),
    )


@settings(max_examples=60)
@given(manifests(), st.sampled_from(SUFFIXES))
def test_round_trip(manifest: Manifest, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(manifest, Path(folder) / f"again{suffix}")
        again = read_manifest(Path(folder) / f"again{suffix}")
    assert again.fingerprint == manifest.fingerprint
    assert again.images.to_pylist() == manifest.images.to_pylist()
    assert names(again) == names(manifest)
    assert again.taxonomy.fingerprint == manifest.taxonomy.fingerprint


@given(st.lists(st.tuples(st.sampled_from(["", "a", " a", "b"]), st.sampled_from(["", "x", "y "])), min_size=1))
def test_distinct_labels_match_a_loop(rows: list[tuple[str, str]]) -> None:
    plain: list[tuple[str, ...]] = [(a.strip(), b.strip()) for a, b in rows]
    distinct, first, inverse = distinct_labels([column([a for a, _ in rows]), column([b for _, b in rows])], len(rows))
    assert [distinct[number] for number in inverse] == plain
    assert len(set(distinct)) == len(distinct)
    assert first.tolist() == [plain.index(row) for row in distinct]


def test_write_errors(tmp_path: Path) -> None:
    manifest = read_manifest(saved(tmp_path, PETS))
    with pytest.raises(ManifestError, match=r"cannot write '\.xls'; use \.csv"):
        write_manifest(manifest, tmp_path / "pets.xls")
    odd = build_manifest("odd", Path(), column(["a"]), None, {"split": column(["x"])}, Places("row", range(1, 2)))
    with pytest.raises(ManifestError, match="a level called 'split' cannot be written"):
        write_manifest(odd, tmp_path / "odd.csv")


# Hugging Face data sets, by shape


class _ClassLabel:
    def __init__(self, *names: str) -> None:
        self.names = list(names)


class _Dataset:
    """What `datasets.Dataset` gives once it is formatted as Arrow."""

    def __init__(self, table: pa.Table, features: dict[str, Any]) -> None:
        self.table, self.features = table, features

    def with_format(self, kind: str) -> _Dataset:
        assert kind == "arrow"
        return self

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, rows: slice) -> pa.Table:
        return self.table.slice(rows.start, rows.stop - rows.start)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[_Dataset]:
    (tmp_path / "here.jpg").touch()
    table = pa.table(
        {
            "img": [
                {"bytes": b"\x89PNG-1", "path": "1.png"},
                {"bytes": None, "path": str(tmp_path / "here.jpg")},
            ],
            "fine": [1, -1],
            "coarse": [0, 1],
        }
    )
    yield _Dataset(table, {"img": object(), "fine": _ClassLabel("corgi", "husky"), "coarse": _ClassLabel("dog", "cat")})


def test_from_dataset(hub: _Dataset, tmp_path: Path) -> None:
    manifest = from_dataset(hub, levels=("coarse", "fine"), folder=tmp_path / "images")
    assert names(manifest) == [("dog", "husky"), ("cat", None)]
    assert manifest.path(0).read_bytes() == b"\x89PNG-1"
    assert manifest.path(0).suffix == ".png"
    assert manifest.path(1) == tmp_path / "here.jpg"
    with pytest.raises(ManifestError, match=r"from_dataset\(dataset, folder=\.\.\.\)"):
        read_manifest(hub, levels=("coarse", "fine"))
    with pytest.raises(ManifestError, match="no column 'corase'; did you mean 'coarse'"):
        from_dataset(hub, levels=("corase",))
    parts = from_dataset(
        {"train": hub, "validation": _Dataset(hub.table.slice(0, 1), hub.features)},
        levels=("coarse",),
        folder=tmp_path / "images",
    )
    assert parts.split_names == ("train", "validation")
