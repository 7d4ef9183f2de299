"""Part-labelled data from a table or by a recipe: trained, killed, resumed, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet import files
from linnet.cli.app import app
from linnet.datasets.creatures import write_folder
from linnet.methods.base import BatchLike
from linnet.methods.min_pool import MinPool
from linnet.training.api import train
from linnet.training.loop import Loop
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe

PART: dict[str, Any] = {"label_fraction": 0.25, "epochs": 2, "batch_size": 16}


@pytest.mark.parametrize("method", ["min-pool", "any-level"])
def test_a_run_killed_within_an_epoch_ends_with_the_same_bits(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that keeps the ratio is a function of the epoch alone, and so are the hidden labels."""
    recipe = tiny_recipe(method=method, **PART)
    train(recipe, tmp_path / "whole", tiny_manifest(), progress=False)
    monkeypatch.setattr("linnet.training.loop.CHECKPOINT_SECONDS", 0.0)
    step, steps = Loop._step, []

    def killed(self: Loop, *arguments: Any) -> None:
        steps.append(self.progress.step)
        if len(steps) == 13:
            raise KeyboardInterrupt
        step(self, *arguments)

    with monkeypatch.context() as broken:
        broken.setattr(Loop, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "broken", tiny_manifest(), progress=False)
    assert steps[-1] > 0  # within an epoch
    train(recipe, tmp_path / "broken", tiny_manifest(), resume=True, progress=False)
    weights = [files.digest(tmp_path / name / "bundle/weights.safetensors") for name in ("whole", "broken")]
    assert weights[0] == weights[1]


def test_every_batch_has_its_share_of_fine_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in four of 16, to within one image, whatever the epoch."""
    losses, known = MinPool.losses, []

    def watched(self: MinPool, batch: BatchLike) -> Any:
        known.append(int((batch.targets[:, 1] >= 0).sum()))
        yield from losses(self, batch)

    monkeypatch.setattr(MinPool, "losses", watched)
    run = train(tiny_recipe(method="min-pool", **PART), tmp_path / "run", tiny_manifest(), progress=False)
    share = run.load().fine_known("train").mean()
    assert len(known) == 2 * (len(run.load().rows["train"]) // 16)
    assert all(abs(count - 16 * share) <= 1 for count in known)


@pytest.mark.parametrize(
    ("method", "settings"), [("min-pool", ()), ("any-level", ()), ("fine", ("labelled_only=true",))]
)
def test_a_table_with_blanks_is_all_it_takes(method: str, settings: tuple[str, ...], tmp_path: Path) -> None:
    """Blank fine cells, and blank coarse ones that the fine label tells: train, measure, resume, change the table."""
    table = write_folder(tmp_path / "creatures", train_per_class=4, test_per_class=2, size=16)
    rows = table.read_text().replace('"', "").splitlines()
    train_rows = [number for number, row in enumerate(rows) if ",train," in row]
    for number in train_rows[::2]:
        image, split, coarse, _ = rows[number].split(",")
        rows[number] = f"{image},{split},{coarse},"
    for number in train_rows[1::6]:
        image, split, _, fine = rows[number].split(",")
        rows[number] = f"{image},{split},,{fine}"
    blanks = table.with_name("blanks.csv")
    blanks.write_text("\n".join(rows) + "\n")
    keys = ["image_size=16", "augment=crop", "backbone=cifar-resnet10", "width=4", "epochs=1", "batch_size=8"]
    keys += [f"method={method}", "device=cpu", "precision=fp32", "validation=0.25", *settings]
    run = tmp_path / "run"
    for command in (["train", blanks, *keys, "--out", run], ["evaluate", run], ["train", "--resume", "--out", run]):
        done = CliRunner().invoke(app, [str(part) for part in command])
        assert done.exit_code == 0, done.output
        assert "mistake_severity" in done.output
    opened = Run.open(run)
    images = opened.summary["images"]
    assert images["train"] + images["validation"] == (48 if settings else 96)
    blanks.write_text("\n".join(rows[:-1]) + "\n")
    done = CliRunner().invoke(app, ["evaluate", str(run)])
    assert done.exit_code == 2
    assert "has changed since" in done.output.replace("\n", " ")
