"""What the page and the API ask: answers, neighbours, maps, the collection and the desk, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from linnet.errors import ImageError, RunError
from linnet.explain.inputs import Inputs
from linnet.explain.maps import Wanted
from linnet.explain.pictures import View, look
from linnet.explain.scores import readable
from linnet.images.resize import Pixels
from linnet.manifest import Manifest
from linnet.predict import Answered, Predictor
from linnet.predict.answers import Failed, answer
from linnet.predict.decoding import square
from linnet.search import Index
from linnet.web.batching import Batcher, Gate
from linnet.web.collection import Collection, spread
from linnet.web.desk import Desk
from linnet.web.gallery import Gallery
from linnet.web.limits import Limits
from linnet.web.pictures import read_picture
from linnet.web.problems import Problem

__all__ = ["Hit", "Service"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Hit:
    """A neighbour: its row in the index, and how near it is, the cosine."""

    row: int
    score: float


@dataclass(eq=False)
class Service:
    """One run with what belongs to it. `start` before use, `close` after.

    Attributes:
        run: the run's folder.
        index: None where none was given; `desk` and `clustered`, the data that was clustered, too.

    Raises:
        RunError: the index was made by other weights than the run's.
    """

    run: Path
    predictor: Predictor
    index: Index | None = None
    desk: Desk | None = None
    clustered: Manifest | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        limits = self.limits
        sha = self.predictor.bundle.card.get("weights_sha256")
        if self.index is not None and self.index.bundle_sha256 != sha:
            raise RunError(
                f"the index was not made by {self.run}: its vectors cannot be compared with what this run says of a "
                f"picture; make one with: linnet index {self.run}"
            )
        self._net = ThreadPoolExecutor(1, "net")  # the net's answers and its maps, one at a time
        self._pool = ThreadPoolExecutor(4, "pictures")
        self.gate = Gate(limits.uploads, f"{limits.uploads} pictures are in work")
        self._ask = Batcher(
            self.predictor,
            self._net,
            most=limits.batch,
            wait=limits.wait,
            room=limits.uploads,
            what="many pictures wait",
        )
        self._look: Batcher[tuple[Pixels, Wanted], View] = Batcher(
            lambda given: [self._map(*each) for each in given],
            self._net,
            most=1,
            wait=0.0,
            room=limits.explanations,
            what=f"{limits.explanations} maps are waited for",
        )
        index = self.index
        self.gallery = None if index is None else Gallery(index.image, len(index.names), limits.thumbnail_bytes)
        self.desk_gallery = self._desk_gallery()

    def _desk_gallery(self) -> Gallery | None:
        if self.desk is None or self.clustered is None:
            return None
        manifest, rows = self.clustered, self.desk.state.discovery.rows
        pixels = manifest.pixels

        def image(place: int) -> Path | Pixels:
            row = int(rows[place])
            return manifest.path(row) if pixels is None else np.asarray(pixels[row])

        return Gallery(image, len(rows), self.limits.thumbnail_bytes)

    @cached_property
    def collection(self) -> Collection:
        """The index's images by class; without an index the run's classes without images."""
        if self.index is not None:
            return Collection(self.index.taxonomy, self.index.targets)
        taxonomy = self.predictor.bundle.taxonomy
        return Collection(taxonomy, np.empty((0, len(taxonomy.levels)), np.int64))

    def warm(self) -> None:
        """Ask about a few of the collection's images, so that the engine is checked on real ones before any request."""
        gallery = self.gallery or self.desk_gallery
        if gallery is not None:
            self.predictor([gallery.image(row) for row in spread(np.arange(gallery.count), 8)])

    def start(self) -> None:
        """Begin to answer, in the running loop."""
        self._ask.start()
        self._look.start()

    async def close(self) -> None:
        """Answer what was taken on, and end."""
        await asyncio.gather(self._ask.close(), self._look.close())
        self._net.shutdown()
        self._pool.shutdown()

    async def off_loop(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Run something that takes time in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments))

    async def read(self, content: bytes) -> Pixels:
        """The pixels of an upload, as `linnet predict` would read its file. Errors as `read_picture`."""
        side = self.predictor.bundle.preprocessing.short_side
        return await self.off_loop(read_picture, content, self.limits, side)

    async def ask(self, pixels: Pixels) -> Answered:
        """What the run says of a picture.

        Raises:
            FullError: too many pictures wait.
        """
        return await self._ask(pixels)

    async def explain(self, pixels: Pixels, wanted: Wanted) -> View:
        """The maps of a picture.

        Raises:
            FullError: too many maps are waited for.
            RunError, TaxonomyError: as `linnet.explain.maps.maps_of`.
        """
        return await self._look((pixels, wanted))

    def _map(self, pixels: Pixels, wanted: Wanted) -> View:
        """Maps of the classes that the answer names, with the probabilities that it gives."""
        bundle, taxonomy = self.predictor.bundle, self.predictor.bundle.taxonomy
        seen = square(pixels, bundle.preprocessing)
        if isinstance(seen, Failed):
            raise ImageError(seen.reason)
        chances = self.predictor.probabilities(self.predictor.said(seen[None]))
        said = answer(taxonomy, chances, [False] * len(chances), 0, self.predictor.top)
        predicted = tuple(taxonomy.index(each.level, each.name) for each in said)
        wanted = replace(wanted, predicted=predicted or None)
        view = look(self.run.name, bundle, Inputs([pixels], ["picture"], [{}]), wanted)
        if bundle.method.members():  # what a member says by itself stands nowhere else
            return view
        told = {
            (level, readable(name)): share
            for level, names, shares in zip(taxonomy.levels, taxonomy.classes, chances, strict=False)
            for name, share in zip(names, shares[0].tolist(), strict=True)
        }
        columns = [
            replace(column, of=[each and replace(each, probability=told[each.level, each.name]) for each in column.of])
            for column in view.columns
        ]
        return replace(view, columns=columns)

    async def nearest(
        self, vector: NDArray[np.float32], k: int, within: tuple[int, int] | None = None, leave_out: int = -1
    ) -> list[Hit]:
        """The nearest images of the index.

        Args:
            vector: (D,).
            within: the level and number of a class to look in alone.
            leave_out: a row that does not count, -1 for none.

        Raises:
            Problem: 409, the server has no index.
        """
        index = self.need_index()
        return await self.off_loop(_search, index, vector, k, within, leave_out)

    def need_index(self) -> Index:
        """The index.

        Raises:
            Problem: 409, there is none; says how to make one.
        """
        if self.index is None:
            raise Problem(
                409, "no-index", f"No index was given. Make one: linnet index {self.run}, then serve --index."
            )
        return self.index

    def need_desk(self) -> Desk:
        """The desk.

        Raises:
            Problem: 409, there is none; says how to make one.
        """
        if self.desk is None:
            raise Problem(
                409,
                "no-discovery",
                f"No discovery was given. Make one: linnet discover {self.run}, then serve --discovery.",
            )
        return self.desk


def _search(
    index: Index, vector: NDArray[np.float32], k: int, within: tuple[int, int] | None, leave_out: int
) -> list[Hit]:
    level, number = within or (None, None)
    found = index.search(vector[None], k, within=number, level=level, exclude=[leave_out])
    pairs = zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True)
    return [Hit(row, score) for row, score in pairs if row >= 0]
