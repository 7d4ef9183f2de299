"""A run folder, opened: its figures on any split, and embeddings of new images."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet import files
from linnet.datasets import load_data
from linnet.errors import RecipeError, RunError
from linnet.images import ImageSource, Preprocessing, load_images
from linnet.images.check import cores
from linnet.manifest import Manifest
from linnet.manifest_read import normal_split
from linnet.methods.base import Method, Need
from linnet.recipes import Recipe
from linnet.training.attention_figures import attention_figures, member_maps
from linnet.training.bundle import Bundle, open_bundle
from linnet.training.ceiling import METRIC, nearest_neighbour
from linnet.training.data import TrainingData, prepare
from linnet.training.device import Place, find_place
from linnet.training.evaluate import Outputs, floors, measure, predict
from linnet.training.frozen import Frozen, frozen_backbone
from linnet.training.source import Source, open_source
from linnet.training.views import whole_square

__all__ = ["Evaluation", "Run", "marks"]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one split.

    Attributes:
        split: which rows; `images` how many.
        figures: by metric name, in percent but for those that `metrics.units` names.
        floors: what chance scores for the same metrics.
        marks: what a reader must know beside every figure, such as a leak; usually empty.
        weights_sha256: of the bundle that was measured; "" in files from before it was recorded.
    """

    split: str
    images: int
    figures: dict[str, float]
    floors: dict[str, float]
    marks: list[str] = field(default_factory=list)
    weights_sha256: str = ""


@dataclass
class Run:
    """A finished run: `Run.open(folder)`, or what `linnet.train` returns.

    Attributes:
        members: of an ensemble, how many of its members predict, the first ones; None for all.
        sources: images that are open already, to be shared with other runs that see the same; None opens them anew.
    """

    folder: Path
    recipe: Recipe
    data: TrainingData | None = None
    members: int | None = None
    sources: dict[object, ImageSource] | None = None

    @classmethod
    def open(cls, folder: Path | str, members: int | None = None) -> Run:
        """Open a run folder, of an ensemble with its first members alone where their number is given.

        Raises:
            RunError: it is no run folder, or its training has not finished.
        """
        folder = Path(folder)
        if not (folder / "recipe.json").exists():
            raise RunError(f"{folder}: no run folder (recipe.json is not there)")
        if not (folder / "bundle" / "bundle.json").exists():
            raise RunError(f"{folder}: training has not finished; go on with: linnet train --resume --out {folder}")
        recipe = Recipe.read(files.read_json(folder / "recipe.json"), f"{folder}/recipe.json")
        return cls(folder, recipe, members=members)

    @cached_property
    def bundle(self) -> Bundle:
        """What prediction needs.

        Raises:
            RecipeError: the run has not as many members.
        """
        opened = open_bundle(self.folder / "bundle")
        return opened if self.members is None else replace(opened, method=opened.method.prefix(self.members))

    @property
    def summary(self) -> dict[str, Any]:
        """What `training.json` says: seconds, best epoch, machine, versions."""
        return dict(files.read_json(self.folder / "training.json"))

    @property
    def seconds(self) -> float:
        """How long training took; of an ensemble's first members, how long it had taken when the last of them stood."""
        if self.members is None:
            return float(self.summary["seconds"])
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        stages = list(dict.fromkeys(line["stage"] for line in lines))
        return float(max(line["seconds"] for line in lines if line["stage"] == stages[self.members - 1]))

    def load(self, manifest: Manifest | None = None, source: str | None = None) -> TrainingData:
        """The run's data, read again unless given.

        Args:
            manifest: the data, to spare reading it.
            source: the table, folder or known set to read; where the data came from when None.

        Raises:
            RunError: the data is not what the run was trained on.
        """
        if self.data is None or manifest is not None or source is not None:
            there = self.summary.get("data_path")
            source = source or (there if there and Path(there).exists() else self.recipe.data)
            options = self.recipe.reading()
            if (table := self.summary.get("attributes_path")) and Path(table).exists():
                options["attributes"] = table
            manifest = manifest or load_data(source, self.recipe.root and Path(self.recipe.root), **options)
            data = prepare(self.recipe, manifest)
            if data.manifest.fingerprint != self.summary["data"]:
                raise RunError(
                    f"{manifest.source} is not what {self.folder} was trained on, or has changed since; "
                    "put the old table back, or train again"
                )
            self.data = data
        return self.data

    def evaluate(self, split: str | None = None, manifest: Manifest | None = None) -> Evaluation:
        """Figures of one split, in float32, also written to `evaluation-SPLIT.json`, or `-SPLIT-members-2.json`.

        The recipe's `test_views` are averaged here alone: while training, one view of a validation image is enough.
        Beside a method that learns from descriptions stands what fine labels would give, `fine_top1_neighbour`.

        Args:
            split: "test" where the data has one, else "validation", when None.
            manifest: the run's data, to spare reading it again.

        Raises:
            RecipeError: no such split.
        """
        data = self.load(manifest)
        split = normal_split(split) if split else ("test" if len(data.rows.get("test", ())) else "validation")
        rows = data.rows.get(split)
        if rows is None or not len(rows):
            raise RecipeError(f"split {split!r} has no images; splits there: {', '.join(data.rows)}")
        place = find_place(self.recipe.change(precision="fp32"))
        method = self.bundle.method
        said = self._predict(method, data, rows, place)
        figures = measure(data, rows, said, self.recipe.recall_at)
        chance = floors(data, rows, self.recipe.recall_at, said)
        if Need.ATTRIBUTES in method.needs:
            ceiling = nearest_neighbour(method, data, rows, lambda each, its: self._predict(each, data, its, place))
            if ceiling is not None:
                figures[METRIC], chance[METRIC] = ceiling
        if len(method.members()) > 1:
            seen, others = attention_figures(self._member_maps(method, data, rows, place), self.recipe.seed)
            figures, chance = figures | seen, chance | others
        evaluation = Evaluation(
            split,
            len(rows),
            figures,
            chance,
            marks(self.recipe, self.bundle.card["start"]),
            self.bundle.card["weights_sha256"],
        )
        if place.main:
            files.write_json(self._figures_path(split), asdict(evaluation))
        return evaluation

    def evaluated(self, split: str = "test") -> Evaluation | None:
        """The figures that `evaluate` wrote last, of the weights that the bundle holds now; None where there are none.

        What a file from before weights were recorded belongs to, only its time can tell: it counts unless the bundle
        is younger, as it also looks in a copy that did not keep times. Such a split is measured anew.

        Raises:
            RunError: the file is damaged or of a newer Linnet.
        """
        path, bundle = self._figures_path(split), self.folder / "bundle" / "bundle.json"
        if not path.exists():
            return None
        try:
            found = Evaluation(**files.read_json(path))
        except TypeError as error:
            raise RunError(f"{path}: not the figures of a split ({error}); remove it to measure anew") from None
        if found.weights_sha256:
            return found if found.weights_sha256 == files.read_json(bundle)["weights_sha256"] else None
        return found if path.stat().st_mtime_ns >= bundle.stat().st_mtime_ns else None

    def outputs(self, rows: NDArray[np.int64]) -> Outputs:
        """What the method says of some rows (n,) of the run's data, as `evaluate` asks it: float32, all test views."""
        return self._predict(self.bundle.method, self.load(), rows, find_place(self.recipe.change(precision="fp32")))

    def _figures_path(self, split: str) -> Path:
        part = "" if self.members is None else f"-members-{self.members}"
        return self.folder / f"evaluation-{split}{part}.json"

    def _predict(self, method: Method, data: TrainingData, rows: NDArray[np.int64], place: Place) -> Outputs:
        """What a method says of some rows; from feature maps where the net was frozen, but for ten views."""
        method, preprocessing = method.to(place.device), self.bundle.preprocessing
        views = self.recipe.test_views
        with frozen_backbone(method) if self.recipe.frozen and views < 10 else nullcontext() as net:
            if net is not None:
                source: Source = Frozen(net, preprocessing, self.recipe, place).open(data, rows)
            else:
                view = whole_square(preprocessing) if views == 10 else preprocessing
                source = self._source(data, rows, view, place)
            said = predict(method, source, place, self.recipe.batch_size, views, preprocessing.size)
            source.close()
        return said

    def _source(self, data: TrainingData, rows: NDArray[np.int64], view: Preprocessing, place: Place) -> ImageSource:
        sources, layout = {} if self.sources is None else self.sources, (self.recipe.road, self.recipe.channels_last)
        key = (data.manifest.fingerprint, rows.tobytes(), view, place.device, layout)
        if key not in sources:
            sources[key] = open_source(data, rows, view, self.recipe, place)
        return sources[key]

    def _member_maps(self, method: Method, data: TrainingData, rows: NDArray[np.int64], place: Place) -> Tensor:
        """What each member of an ensemble looks at in some rows, in one view of each."""
        source = self._source(data, rows, self.bundle.preprocessing, place)
        maps = member_maps(method.to(place.device), source, place, self.recipe.batch_size)
        source.close()
        return maps

    def embed(self, images: Sequence[Path | str] | Path | str, batch_size: int = 64) -> NDArray[np.float32]:
        """Embeddings (n, D) of image files, or of one.

        Raises:
            ImageError: files that cannot be decoded; names those of the first batch that has any.
        """
        if isinstance(images, str | Path):
            images = [images]
        method, parts = self.bundle.method, []
        device = next(method.parameters()).device
        batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        with torch.inference_mode(), ThreadPoolExecutor(1) as pool:
            decode = partial(load_images, preprocessing=self.bundle.preprocessing, workers=cores())
            ahead = deque(pool.submit(decode, batch) for batch in batches[:1])
            for number in range(len(batches)):  # the next is decoded while the net looks at one
                pixels = ahead.popleft().result().to(device)
                ahead.extend(pool.submit(decode, batch) for batch in batches[number + 1 : number + 2])
                parts.append(method.predict(pixels).embedding.float().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, method.embedding_dim), np.float32)


def marks(recipe: Recipe, start: str) -> list[str]:
    """What must stand beside every figure of a run: how its epoch was chosen, and what its start weights knew."""
    found = []
    if recipe.select_on == "test":
        found.append("epoch chosen on the test split (replication only)")
    if recipe.fine_selection:
        found.append("epoch chosen with fine validation labels")
    if "imagenet" in start.lower():
        found.append("start weights from ImageNet, whose 1,000 classes may overlap the fine classes (leak)")
    return found
