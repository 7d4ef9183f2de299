"""A finished run as a teacher: its bundle opened, its classes put in the order of the run that learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from linnet import files
from linnet.errors import RecipeError, RunError
from linnet.images import Preprocessing
from linnet.methods.base import Method
from linnet.recipes import Recipe
from linnet.training.bundle import Bundle, open_bundle
from linnet.training.data import TrainingData
from linnet.training.device import Place

__all__ = ["Teacher", "keep_teacher", "open_teacher"]


@dataclass(frozen=True)
class Teacher:
    """What a run learns from besides labels: called with images (B, 3, S, S) it gives fine logits (B, F).

    Attributes:
        method: in eval mode.
        order: int64 (F,), the place of each class of the run that learns among the teacher's.
        folder: where it comes from.
        sha256: of its weights.
    """

    method: Method
    order: Tensor
    folder: Path
    sha256: str

    def __call__(self, images: Tensor) -> Tensor:
        """Its logits, or log-probabilities, without a gradient.

        Raises:
            RecipeError: its method names no fine classes.
        """
        with torch.inference_mode():
            said = self.method.predict(images).fine_logits
        if said is None:
            raise RecipeError(f"teacher = {self.folder}: its method names no fine classes; give another run")
        return said[:, self.order].clone()  # an inference tensor cannot be saved for a backward pass


def open_teacher(recipe: Recipe, data: TrainingData, preprocessing: Preprocessing, place: Place) -> Teacher | None:
    """The run that the method's option `teacher` names; None where the method has no such option.

    Raises:
        RunError: no bundle there, or a damaged one.
        RecipeError: it lacks some of the fine classes, or sees images in another size or scale.
    """
    named = recipe.options.get("teacher")
    if not named:
        return None
    folder = Path(str(named).replace("{seed}", str(recipe.seed)))
    bundle = open_bundle(folder if (folder / "bundle.json").exists() else folder / "bundle")
    _check_input(bundle.preprocessing, preprocessing, folder)
    order = torch.tensor(_order(bundle, data, folder), device=place.device)
    method = bundle.method.to(place.device).eval()
    if recipe.channels_last:
        method.to(memory_format=torch.channels_last)
    return Teacher(method, order, folder, bundle.card["weights_sha256"])


def keep_teacher(out: Path, teacher: object, place: Place) -> None:
    """Note in the run folder whose answers were learnt; a run that goes on must learn from the same.

    Raises:
        RunError: the teacher's weights are others than they were.
    """
    if not isinstance(teacher, Teacher):
        return
    summary = files.read_json(out / "training.json")
    if summary.setdefault("teacher_sha256", teacher.sha256) != teacher.sha256:
        raise RunError(f"teacher = {teacher.folder}: its weights have changed since {out} began; put the old run back")
    if place.main:
        files.write_json(out / "training.json", summary)
    place.wait()


def _check_input(theirs: Preprocessing, ours: Preprocessing, folder: Path) -> None:
    """The teacher gets the very batches of the run that learns."""
    pairs = {"image_size": (theirs.size, ours.size), "mean": (theirs.mean, ours.mean), "std": (theirs.std, ours.std)}
    differing = [f"{name} {there} there, {here} here" for name, (there, here) in pairs.items() if there != here]
    if differing:
        raise RecipeError(f"teacher = {folder} sees other images ({'; '.join(differing)}); give its settings")


def _order(bundle: Bundle, data: TrainingData, folder: Path) -> list[int]:
    """Where the teacher has each fine class: names decide. It may know more of them."""
    theirs = {name: number for number, name in enumerate(bundle.taxonomy.classes[bundle.fine])}
    ours = data.manifest.taxonomy.classes[data.fine]
    lacking = [name for name in ours if name not in theirs]
    if lacking:
        shown = ", ".join(map(repr, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
        raise RecipeError(
            f"teacher = {folder} does not know {len(lacking)} of the {len(ours)} classes of {data.manifest.source} "
            f"({shown}); train it on them, or keep only the classes it knows"
        )
    return [theirs[name] for name in ours]
