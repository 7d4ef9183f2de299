"""The model card: what a run is, what it learned from, how well it does beside chance, and what its figures hide."""

from __future__ import annotations

import json
from collections.abc import Iterator

from linnet.methods import method_class
from linnet.metrics.units import lower_is_better, unit
from linnet.training.bundle import Bundle
from linnet.training.run import Evaluation, Run, marks

__all__ = ["model_card"]


def model_card(run: Run, bundle: Bundle, license: str | None = None) -> str:
    """README.md, as the Hugging Face hub reads it: a YAML header, then Markdown.

    The figures are those that `Run.evaluate` wrote last, of the test split, else of validation; without any the card
    says so.
    """
    said = run.evaluated("test") or run.evaluated("validation")
    parts = [_header(run, license), *_about(run, bundle), *_figures(said, run, bundle), *_use(bundle)]
    return "\n".join(parts) + "\n"


def _header(run: Run, license: str | None) -> str:
    """The YAML; JSON's strings are YAML's too."""
    names = method_class(run.recipe.method)
    tags = ["linnet", "image-retrieval", "fine-grained", "hierarchical-classification", run.recipe.method]
    task = "image-feature-extraction" if names.selects.endswith("recall@1") else "image-classification"
    lines = ["---", "library_name: linnet", f"pipeline_tag: {task}"]
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    lines += [f"license: {json.dumps(license)}"] if license else []
    return "\n".join([*lines, "---", ""])


def _about(run: Run, bundle: Bundle) -> Iterator[str]:
    """What it is, data, labels and protocol."""
    recipe, card, taxonomy = run.recipe, bundle.card, bundle.taxonomy
    coarse, fine = taxonomy.levels[bundle.coarse], taxonomy.levels[bundle.fine]
    yield f"# {recipe.row or recipe.method} on {_data(run)}\n"
    yield (
        f"A {recipe.backbone} trained with Linnet by the method `{recipe.method}`, between the levels "
        f"`{coarse}` ({taxonomy.count(bundle.coarse)} classes) and `{fine}` ({taxonomy.count(bundle.fine)} classes).\n"
    )
    yield "## Data and labels\n"
    images = run.summary.get("images", {})
    counts = ", ".join(f"{count:,} {name}" for name, count in images.items())
    yield f"- Data: {_data(run)}; images: {counts or 'not recorded'}; fingerprint `{run.summary.get('data', '')[:16]}`"
    needs = sorted(need.value for need in method_class(recipe.method).needs)
    yield f"- Labels it learned from: {'; '.join(needs) or 'none'}"
    shares = {"label_fraction": recipe.label_fraction, "coarse_fraction": recipe.coarse_fraction, "seen": recipe.seen}
    yield from (f"- `{name}` = {value:g}" for name, value in shares.items() if value is not None)
    yield f"- Start weights: {card['start']}"
    yield "- License of the model: " + "see the header; the data's own terms may bind it, too\n"
    yield "## Protocol\n"
    yield f"- {recipe.protocol}" if recipe.protocol else "- The data's own split, or one drawn by the seed"
    yield f"- {recipe.epochs} epochs, seed {recipe.seed}; epoch chosen by: {_chosen(run)}"
    yield f"- Options: `{json.dumps(card['options'])}`"
    yield f"- Trained on: {run.summary.get('machine', 'not recorded')}; {_versions(run)}\n"


def _figures(said: Evaluation | None, run: Run, bundle: Bundle) -> Iterator[str]:
    """The table, with floors, and what must stand beside it."""
    yield "## Figures\n"
    if said is None:
        yield "None were measured: `linnet evaluate RUN`, then export again.\n"
    else:
        yield f"On {said.images:,} images of the split `{said.split}`. *Floor* is what chance scores.\n"
        yield "| metric | value | floor |\n| --- | ---: | ---: |"
        for name, value in said.figures.items():
            floor = said.floors.get(name)
            less = " (lower is better)" if lower_is_better(name) else ""
            yield f"| `{name}`{less} | {value:.2f} {unit(name)} | {'' if floor is None else f'{floor:.2f}'} |"
        yield ""
    found = list(dict.fromkeys([*(said.marks if said else []), *marks(run.recipe, bundle.card["start"])]))
    yield "Beside every figure must stand:\n" if found else "No leak and no choice by test images is known.\n"
    yield from (f"- {mark}" for mark in found)
    yield from [""] if found else []


def _use(bundle: Bundle) -> Iterator[str]:
    """Preprocessing, and how to load it."""
    view = bundle.preprocessing
    yield "## Preprocessing\n"
    yield (
        f"RGB, upright; shorter side to {view.short_side} pixels ({view.interpolation}, antialiased); centre "
        f"{view.size} x {view.size}; (pixel / 255 - mean) / std with mean {list(view.mean)}, std {list(view.std)}. "
        "`classes.json` names the classes in the order of the logits.\n"
    )
    yield "## Use\n"
    yield (
        "```python\n"
        "from linnet.engines import open_engine\n"
        "from linnet.export import from_pretrained\n"
        "from linnet.images import load_images\n\n"
        'bundle = from_pretrained("FOLDER OR OWNER/NAME")  # runs nothing that the files hold\n'
        'said = open_engine(bundle)(load_images(["photo.jpg"], bundle.preprocessing))\n'
        "said.embedding, said.coarse_logits, said.fine_logits  # None where the method has none\n"
        "```"
    )


def _data(run: Run) -> str:
    """What the data is called, without the folders above it."""
    recipe = run.recipe
    return recipe.dataset or recipe.data.rstrip("/").rpartition("/")[2] or "a manifest"


def _chosen(run: Run) -> str:
    if run.recipe.select_on == "last":
        return "none, the last one"
    metric, best = run.summary.get("chosen_by") or "the method's own metric", run.summary.get("best")
    value = f" ({best:.2f})" if isinstance(best, float) else ""
    return f"`{metric}`{value} on the {run.recipe.select_on} split"


def _versions(run: Run) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.summary.get("versions", {}).items())
