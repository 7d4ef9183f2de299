"""Creatures: a small drawn data set with a true two-level hierarchy, for the demo and for tests.

Six coarse classes differ in body plan, plain to see. Under each, four fine classes differ in one small mark
on the body alone: a dot, a ring, a cross or bars, dark or light, further front or further back. Every mark is
there once in every coarse class, every colour and place twice, so none of them tells the coarse class. The
colour of the body, pose, scale, place, light and clutter vary by image and tell neither. `drawing` holds the
knobs of difficulty.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from linnet import files
from linnet.attributes import Attributes
from linnet.datasets import drawing
from linnet.datasets.assemble import assemble
from linnet.errors import DataError
from linnet.manifest import Manifest, write_manifest
from linnet.randomness import generator
from linnet.taxonomy import Taxonomy

__all__ = ["COLUMNS", "attributes", "load", "taxonomy", "write_folder"]

# Body plan: round, long, domed; legs (of six), wings (of four), fins, tail, ears, beak, antennae, shell.
_BODY_COLUMNS = (
    "body_round", "body_long", "body_domed", "legs", "wings", "fins", "tail", "ears", "beak",
    "antennae", "shell",
)  # fmt: skip
_BODIES: dict[str, tuple[float, ...]] = {
    "beetle": (1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1),
    "bird": (1, 0, 0, 1 / 3, 0.5, 0, 1, 0, 1, 0, 0),
    "butterfly": (0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0),
    "fish": (0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0),
    "fox": (0, 1, 0, 2 / 3, 0, 0, 1, 1, 0, 0, 0),
    "turtle": (0, 0, 1, 2 / 3, 0, 0, 1, 0, 0, 0, 1),
}
_MARKS = {"dotted": "dot", "ringed": "ring", "crossed": "cross", "barred": "bars"}
_COLOURS = ("dark", "light")
_PLACES = ("front", "rear")

COLUMNS = (
    *_BODY_COLUMNS, *(f"mark_{mark}" for mark in _MARKS.values()), *(f"mark_{c}" for c in _COLOURS),
    *(f"mark_{p}" for p in _PLACES),
)  # fmt: skip
"""Names of the attributes, in order. Values lie in 0..1; legs count as parts of six, wings of four."""


@dataclass(frozen=True)
class _Species:
    """One fine class: its name, its body plan, and its mark."""

    name: str
    body: str
    mark: str
    colour: str
    place: str


def _all_species() -> tuple[_Species, ...]:
    """The 24 fine classes sorted by name, which is how a reader of the written folder numbers them."""
    found = [
        _Species(f"{word}_{body}", body, mark, _COLOURS[(m + b) % 2], _PLACES[(m // 2 + b // 2) % 2])
        for b, body in enumerate(_BODIES)
        for m, (word, mark) in enumerate(_MARKS.items())
    ]
    return tuple(sorted(found, key=lambda species: species.name))


_SPECIES = _all_species()


def taxonomy(*, pairs: bool = False) -> Taxonomy:
    """The levels ("coarse", "fine"): 6 classes, and 24 such as "ringed_fox"; with `pairs` 12 over the same 24.

    The children of a body plan have every mark once, so no coarse class tells one mark from another, and descriptions
    name fine classes by luck alone. With `pairs` a body plan is two coarse classes of two marks each, such as
    "ringed or dotted fox"; which marks go together differs from body to body, and that tells all four.
    """
    groups = [_pair(species) if pairs else species.body for species in _SPECIES]
    coarse = tuple(sorted(set(groups)))
    parents = tuple(coarse.index(group) for group in groups)
    return Taxonomy(("coarse", "fine"), (coarse, tuple(s.name for s in _SPECIES)), ((), parents))


def _pair(species: _Species) -> str:
    """The coarse class of two marks that a species belongs to."""
    marks = tuple(_MARKS)
    partner = 1 + tuple(_BODIES).index(species.body) % 3  # the first mark goes with the second, third or fourth
    first = (marks[0], marks[partner])
    word = next(word for word, mark in _MARKS.items() if mark == species.mark)
    together = first if word in first else tuple(mark for mark in marks if mark not in first)
    return f"{' or '.join(together)} {species.body}"


def attributes() -> Attributes:
    """What every fine class looks like, exactly: one row a fine class, columns as `COLUMNS` says."""
    values = np.zeros((len(_SPECIES), len(COLUMNS)), dtype=np.float32)
    for row, species in enumerate(_SPECIES):
        values[row, : len(_BODY_COLUMNS)] = _BODIES[species.body]
        for what in (species.mark, species.colour, species.place):
            values[row, COLUMNS.index(f"mark_{what}")] = 1
    return Attributes(tuple(species.name for species in _SPECIES), COLUMNS, values)


def load(
    root: Path | str | None = None,
    *,
    seed: int = 0,
    size: int = 48,
    train_per_class: int = 40,
    test_per_class: int = 20,
    pairs: bool = False,
) -> Manifest:
    """Draw the creatures, about a thousand a second, as a manifest with splits "train" and "test".

    Args:
        root: not used; there for the sake of the other data sets' signature.
        seed: an image depends on the seed, its split, its fine class and its number in the class, and on
            nothing else: asking for more images leaves the ones before as they were.
        size: height and width in pixels, at least 16.
        train_per_class: images of each of the 24 fine classes to train on.
        test_per_class: the same for the test split; 0 for none.
        pairs: twelve coarse classes, see `taxonomy`; the images are the same.

    Raises:
        DataError: a size or count that cannot be.
    """
    if size < 16 or train_per_class < 1 or test_per_class < 0:
        raise DataError(
            f"creatures: size={size}, train_per_class={train_per_class}, test_per_class={test_per_class}: "
            "allowed are size >= 16, train_per_class >= 1, test_per_class >= 0"
        )
    tree = taxonomy(pairs=pairs)
    splits = {"train": train_per_class, "test": test_per_class}
    splits = {split: count for split, count in splits.items() if count}
    keys = [(split, f, n) for split in splits for f in range(len(_SPECIES)) for n in range(splits[split])]
    fine = np.array([f for _, f, _ in keys], dtype=np.int64)
    pixels = np.empty((len(keys), size, size, 3), dtype=np.uint8)
    for row, (split, f, number) in enumerate(keys):
        s, rng = _SPECIES[f], generator(seed, f"creatures {split}", f, number)
        pixels[row] = drawing.draw_creature(s.body, s.mark, s.colour, s.place, rng, size)
    return assemble(
        source="creatures",
        root=Path(),
        images=[f"{split}/{_SPECIES[f].body}/{_SPECIES[f].name}/{n:04d}.png" for split, f, n in keys],
        taxonomy=tree,
        targets=np.stack([tree.ancestor()[fine], fine], axis=1),
        splits={split: count * len(_SPECIES) for split, count in splits.items()},
        pixels=pixels,
        attributes=attributes(),
    )


def write_folder(
    folder: Path | str, *, seed: int = 0, size: int = 48, train_per_class: int = 40, test_per_class: int = 20
) -> Path:
    """Write the creatures as a user's data would lie: nested folders of PNG images, manifest.csv and
    attributes.csv.

    The folder appears whole or not at all. Where it is already there with these very settings, it is left as
    it is.

    Returns:
        The path of manifest.csv; reading it gives the labels, splits, attributes and pixels of `load`.

    Raises:
        DataError: the folder holds something else.
    """
    folder = Path(folder)
    settings = {
        "data_set": "creatures",
        "seed": seed,
        "size": size,
        "train_per_class": train_per_class,
        "test_per_class": test_per_class,
        "drawing": drawing.knobs(),
    }
    record = folder / "creatures.json"
    if record.is_file() and files.read_json(record) == settings:
        return folder / "manifest.csv"
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} already holds other files; name a new folder for the creatures, or remove that one")
    manifest = load(seed=seed, size=size, train_per_class=train_per_class, test_per_class=test_per_class)
    # Built beside its place and moved there whole: to sync each image would take longer than to draw it.
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=files.make_folder(folder.parent)) as work:
        built = Path(work) / folder.name
        _write(manifest, built)
        files.write_json(built / record.name, settings)
        with files.atomic_path(folder) as aside:
            built.replace(aside)
    return folder / "manifest.csv"


def _write(manifest: Manifest, aside: Path) -> None:
    """All images, the manifest and the attributes, into a folder that nobody sees yet."""
    assert manifest.pixels is not None and manifest.attributes is not None
    made: set[Path] = set()
    for name, pixels in zip(manifest.images.to_pylist(), manifest.pixels, strict=True):
        path = aside / name
        if path.parent not in made:
            made.add(files.make_folder(path.parent))
        Image.fromarray(pixels).save(path, compress_level=3)
    write_manifest(manifest, aside / "manifest.csv")
    table = manifest.attributes
    lines = [",".join(("class", *table.columns))]
    lines += [
        f"{name}," + ",".join(repr(float(v)) for v in row) for name, row in zip(table.names, table.values, strict=True)
    ]
    files.write_text(aside / "attributes.csv", "\n".join(lines) + "\n")
