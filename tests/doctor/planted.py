"""A collection with one of each defect, and the same collection without any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from linnet.randomness import generator

__all__ = ["photo", "plant", "write_clean"]

_LABELS = (("Tern", "Arctic_Tern"), ("Tern", "Least_Tern"), ("Towhee", "Eastern_Towhee"), ("Towhee", "Spotted_Towhee"))


def photo(number: int, height: int = 90, width: int = 120) -> Image.Image:
    """A picture that no other number's resembles: smooth random colours."""
    small = generator(number, "planted photo").integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write_clean(folder: Path) -> list[tuple[str, str, str, str]]:
    """Three training and two test images of each of four classes, as files; returns the table's rows."""
    rows = []
    for number in range(20):
        coarse, fine = _LABELS[number % 4]
        name = f"{number:02d}.jpg"
        photo(number).save(folder / name, quality=92)
        rows.append((name, "train" if number < 12 else "test", coarse, fine))
    return rows


def table(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    """Write the table, and return its path."""
    path = folder / "photos.csv"
    path.write_text("image,split,coarse,fine\n" + "".join(",".join(row) + "\n" for row in rows))
    return path


def plant(folder: Path) -> Path:
    """Write the collection with every defect of images and labels that a manifest can have."""
    rows = write_clean(folder)
    photo(0).save(folder / "full.jpg", quality=92)
    whole = (folder / "full.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "none.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no image")
    frames = [photo(30), photo(31)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    photo(32, 20, 20).save(folder / "tiny.png")
    photo(33, 30, 400).save(folder / "long.png")
    Image.new("RGB", (64, 64), (9, 200, 9)).save(folder / "even.png")
    (folder / "copy.jpg").write_bytes((folder / "00.jpg").read_bytes())  # of a training image
    (folder / "again.jpg").write_bytes((folder / "01.jpg").read_bytes())
    (folder / "other.jpg").write_bytes((folder / "02.jpg").read_bytes())
    photo(3).resize((80, 60)).save(folder / "near.jpg", quality=70)
    photo(4).resize((80, 60)).save(folder / "near-other.jpg", quality=70)
    photo(5).resize((80, 60)).save(folder / "near-again.jpg", quality=70)
    photo(40).save(folder / "single.jpg")
    photo(41).save(folder / "unseen.jpg")
    photo(42).save(folder / "blank.jpg")
    photo(43).save(folder / "half.jpg")
    photo(44).save(folder / "alone.jpg")
    tern, towhee = ["Tern", "Arctic_Tern"], ["Towhee", "Eastern_Towhee"]
    extra = [
        *((name, "train", *tern) for name in ("gone.jpg", "cut.jpg", "none.jpg", "text.jpg", "moving.gif", "tiny.png")),
        *((name, "train", *tern) for name in ("long.png", "even.png")),
        ("copy.jpg", "test", *tern),
        ("again.jpg", "train", "Tern", "Least_Tern"),
        ("other.jpg", "train", "Tern", "Least_Tern"),
        ("near.jpg", "test", "Towhee", "Spotted_Towhee"),
        ("near-other.jpg", "train", *towhee),
        ("near-again.jpg", "train", "Tern", "Least_Tern"),
        ("single.jpg", "train", "Tern", "Green_tailed_Towhee"),
        ("unseen.jpg", "test", "Towhee", "Eastern_Towhe"),
        ("blank.jpg", "train", "", ""),
        ("half.jpg", "train", "Tern", ""),
        ("alone.jpg", "train", "Owl", "Barn_Owl"),
    ]
    return table(folder, rows + [(row[0], row[1], row[2], row[3]) for row in extra])
