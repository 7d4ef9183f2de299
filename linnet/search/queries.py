"""Images as queries of an index: embedded by the very net that made its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.errors import ImageError, RecipeError, RunError
from linnet.images.broken import summary
from linnet.images.check import cores
from linnet.predict.answers import Failed
from linnet.predict.decoding import Image, squares_ahead
from linnet.search.bare import timm_embedder
from linnet.search.embedders import BATCH, Embedder, bundle_embedder
from linnet.search.index import Hits, Index
from linnet.training.bundle import open_bundle
from linnet.training.run import Run

__all__ = ["Queries", "check_made_by", "embed_images", "embedder_of"]


@dataclass(frozen=True, eq=False)
class Queries:
    """n images to look for.

    Attributes:
        names: what to call each.
        vectors: float32 (n, D).
        coarse: the coarse class of each as the net says it, or as it is known; "" without one.
        rows: its own row of the index, int64 (n,), -1 of an image that is not in it.
    """

    names: list[str]
    vectors: NDArray[np.float32]
    coarse: list[str]
    rows: NDArray[np.int64]

    @classmethod
    def of_vectors(cls, vectors: NDArray[np.floating[Any]]) -> Queries:
        """Vectors (n, D) as queries."""
        count = len(vectors)
        return cls(
            [f"vector {row}" for row in range(count)],
            np.asarray(vectors, np.float32),
            [""] * count,
            np.full(count, -1, np.int64),
        )

    @classmethod
    def of_rows(cls, index: Index, rows: Sequence[int]) -> Queries:
        """Rows of an index as queries.

        Raises:
            RecipeError: there is no such row.
        """
        wrong = [row for row in rows if not 0 <= row < len(index)]
        if wrong:
            raise RecipeError(f"row {wrong[0]}: the rows of {index.folder} go from 0 to {len(index) - 1}")
        chosen = np.asarray(rows, np.int64)
        coarse = [index.coarse_names[row] for row in rows]
        return cls([index.names[row] for row in rows], np.asarray(index.vectors[chosen]), coarse, chosen)

    def search(self, index: Index, k: int, *, within: bool = False, name: str | None = None, **options: Any) -> Hits:
        """The k nearest of each, a query's own row left out.

        Args:
            within: only among images of the query's coarse class.
            name: only among images of this class, of whichever level has it, the coarse one first.
            options: of `Index.search`.

        Raises:
            RunError: `within`, and the net names no coarse class.
            TaxonomyError: no such class.
        """
        if name is not None:
            level = index.level_of(name)
            return index.search(self.vectors, k, within=name, level=level, exclude=self.rows, **options)
        if within and "" in self.coarse:
            raise RunError(
                f"{self.names[self.coarse.index('')]}: neither the net nor a label says its coarse class; give it: "
                "--class NAME"
            )
        classes = self.coarse if within else None
        return index.search(self.vectors, k, within=classes, exclude=self.rows, **options)


def embedder_of(index: Index, run: Path | str | None = None, engine: str = "auto") -> Embedder:
    """What made an index, opened again.

    Args:
        run: where its run, or bundle, lies now; where it lay then when None.

    Raises:
        RunError: it is gone, or it is another one; or the index was made of vectors.
    """
    made = index.card.embedder
    if made["identity"]["kind"] == "vectors":
        raise RunError(
            f"{index.folder} was made of vectors, and no net goes with it: give the queries as vectors, too (--vectors)"
        )
    if made["identity"]["kind"] == "timm":
        found = timm_embedder(made["identity"]["name"], made.get("weights"), engine)
        check_made_by(index, found, made["identity"]["name"])
        return found
    folder = Path(run) if run is not None else Path(made.get("run") or "")
    if run is None and not (made.get("run") and folder.exists()):
        raise RunError(f"{index.folder}: the run that made it is not at {made.get('run')}; say where it is: --run RUN")
    bare = (folder / "bundle.json").exists() and not (folder / "recipe.json").exists()
    members = made["identity"].get("members")
    embedder = bundle_embedder(open_bundle(folder) if bare else Run.open(folder, members), engine)
    check_made_by(index, embedder, str(folder))
    return embedder


def check_made_by(index: Index, embedder: Embedder, called: str) -> None:
    """Refuse a net that is not the one that made an index.

    Raises:
        RunError: it is another one; says what differs.
    """
    there, given = index.card.embedder["identity"], dict(embedder.identity)
    members = given.pop("members", None), there.get("members")
    if {name: value for name, value in there.items() if name != "members"} == given and members[0] == members[1]:
        return
    short = [str(each.get("sha256", "?"))[:12] for each in (there, given)]
    what = "its weights are others" if short[0] != short[1] else "it prepares images otherwise, or has other members"
    raise RunError(
        f"{called} did not make {index.folder}: {what} (index: {short[0]}, given: {short[1]}), and vectors of two nets "
        f"cannot be compared; search with the run that made it, or index again: linnet index {called} DATA --out DIR"
    )


def embed_images(embedder: Embedder, images: Sequence[Image]) -> Queries:
    """Vectors and coarse classes of files, or of pixels uint8 (H, W, 3).

    Raises:
        ImageError: images that cannot be decoded; names every one.
    """
    images = list(images)
    broken: list[str] = []
    vectors, coarse, at = [np.empty((0, embedder.dim), np.float32)], [np.empty(0, np.int64)], 0
    for batch in squares_ahead(images, embedder.preprocessing, BATCH, cores()):
        for image, each in zip(images[at : at + len(batch)], batch, strict=True):
            if isinstance(each, Failed):
                broken.append(f"{image if isinstance(image, Path) else 'pixels'}: {each.reason}")
        at += len(batch)
        if not broken:
            found = embedder(np.stack(batch))  # type: ignore[arg-type]
            vectors.append(found[0])
            coarse.append(found[1])
    if broken:
        raise ImageError(f"{summary('photos', broken, len(images))}\nMend or replace these files, or leave them out.")
    names = (*embedder.coarse_classes, "")
    said = [names[number] for number in np.concatenate(coarse).tolist()]
    called = [str(image) if isinstance(image, Path) else f"image {number}" for number, image in enumerate(images)]
    return Queries(called, np.concatenate(vectors), said, np.full(len(images), -1, np.int64))
