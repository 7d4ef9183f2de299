"""What the loop promises besides resuming: it stops in time, chooses on validation, and counts processes right."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from linnet import files
from linnet.backbones import Backbone
from linnet.errors import LinnetError, ManifestError, NonFiniteError, RecipeError, RunError, SupervisionError
from linnet.losses.instance import InstanceHead
from linnet.losses.owned import UpdateRule
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy
from linnet.training.api import selection_metric, train
from linnet.training.bundle import open_bundle
from linnet.training.checkpoint import Checkpoints
from linnet.training.data import prepare
from linnet.training.evaluate import roles
from linnet.training.run import Run
from tests.training.tiny import best_state, tiny_manifest, tiny_recipe

ROOT = Path(__file__).parents[2]


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    """It names images of the batch, and the run folder keeps no damaged weights."""
    folder = tmp_path / "run"
    with pytest.raises(NonFiniteError, match=r"epoch 1, step \d+.*Stopped before the step.*row \d+"):
        train(tiny_recipe(lr=1e30), folder, tiny_manifest(), progress=False)
    with pytest.raises(RunError, match="has not finished"):
        Run.open(folder)


def test_the_best_epoch_by_validation_is_kept(tmp_path: Path) -> None:
    """The bundle scores what the log says of that epoch, and the first of equals wins."""
    run = train(tiny_recipe(epochs=4), tmp_path / "run", tiny_manifest(), progress=False)
    logged = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    scores = [line["validation/coarse_top1"] for line in logged]
    assert run.summary["best"] == max(scores)
    assert run.summary["best_epoch"] == 1 + int(np.argmax(scores))
    assert run.evaluate("validation").figures["coarse_top1"] == pytest.approx(max(scores))


def test_an_opened_run_is_the_run_that_was_trained(tmp_path: Path) -> None:
    """Figures from the folder alone equal those of the run in hand; changed data is refused."""
    run = train(tiny_recipe(epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    opened = Run.open(tmp_path / "run")
    assert opened.evaluate("test", tiny_manifest()) == run.evaluate("test")
    half = tiny_manifest().select(np.arange(0, len(tiny_manifest()), 2))
    with pytest.raises(RunError, match="has changed since"):
        Run.open(tmp_path / "run").evaluate("test", half)
    with pytest.raises(RecipeError, match="split 'holdout' has no images; splits there: train"):
        run.evaluate("holdout")


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    """By its checksum."""
    run = train(tiny_recipe(epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    weights = tmp_path / "run/bundle/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    with pytest.raises(RunError, match="checksums differ"):
        _ = run.bundle


def test_validation_is_carved_by_coarse_class_and_leaves_test_alone() -> None:
    """Equal shares of each coarse class, no row in two splits, the same rows each time."""
    data = prepare(tiny_recipe(validation=0.25), tiny_manifest())
    again = prepare(tiny_recipe(validation=0.25), tiny_manifest())
    parts = [set(rows.tolist()) for rows in data.rows.values()]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(tiny_manifest())
    assert all(np.array_equal(data.rows[name], again.rows[name]) for name in data.rows)
    coarse = tiny_manifest().targets[data.rows["validation"], 0]
    assert np.bincount(coarse).tolist() == [8] * 6


def test_fine_labels_choose_only_when_the_recipe_says_so(tmp_path: Path) -> None:
    """A coarse-only method is chosen by coarse labels; the option is there, and marks every figure."""
    recipe = tiny_recipe(epochs=1, select_by="fine_recall@1")
    with pytest.raises(RecipeError, match="fine_selection = true"):
        train(recipe, tmp_path / "refused", tiny_manifest(), progress=False)
    run = train(recipe.change(fine_selection=True), tmp_path / "run", tiny_manifest(), progress=False)
    assert run.evaluate().marks == ["epoch chosen with fine validation labels"]


def test_classes_can_be_cut_to_some(tmp_path: Path) -> None:
    """Only the named coarse classes and their children stay; a wrong name gets the nearest."""
    recipe = tiny_recipe(classes=["bird", "fox"], method="fine", epochs=1)
    data = prepare(recipe, tiny_manifest())
    assert data.manifest.taxonomy.classes[0] == ("bird", "fox")
    assert data.task().membership.sum(1).tolist() == [4, 4]
    old, new = tiny_manifest(), data.manifest
    number = {name: row for row, name in enumerate(old.images.to_pylist())}
    for row, name in enumerate(new.images.to_pylist()):
        before = old.targets[number[name]]
        assert new.taxonomy.classes[1][new.targets[row, 1]] == old.taxonomy.classes[1][before[1]]
        assert new.taxonomy.classes[0][new.targets[row, 0]] == old.taxonomy.classes[0][before[0]]
    with pytest.raises(RecipeError, match="did you mean 'bird'"):
        prepare(tiny_recipe(classes=["brid"]), tiny_manifest())


_WORKER = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe
folder, method = Path(sys.argv[1]), sys.argv[2]
recipe = tiny_recipe(method=method, epochs=2, batch_size=40, validation=0.25, threads=1, drop_last=False)
run = train(recipe, folder, tiny_manifest(), progress=False)
figures = run.evaluate("test").figures
weights = {name: float(value.double().sum()) for name, value in run.bundle.method.state_dict().items()}
print(json.dumps([figures, weights]))
"""


def _launch(world: int, folder: Path, method: str) -> list[list[dict[str, float]]]:
    """Train and evaluate in `world` processes, as torchrun would start them; what each printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(world):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        environment = {**os.environ, **{k: str(v) for k, v in names.items()}, "ACCELERATE_USE_CPU": "true"}
        if world == 1:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _WORKER, str(folder), method]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
    said = []
    for process in started:
        out, error = process.communicate(timeout=240)
        assert process.returncode == 0, error
        said.append(json.loads(out.splitlines()[-1]))
    return said


def test_two_processes_agree_and_score_as_one(tmp_path: Path) -> None:
    """Both ranks end with the same weights and figures; one process scores the bundle the same."""
    first, second = _launch(2, tmp_path / "two", "coins")
    assert first == second
    opened = Run.open(tmp_path / "two").evaluate("test", tiny_manifest())
    assert opened.figures == first[0]
    logged = files.read_json(tmp_path / "two/training.json")
    assert logged["processes"] == 2


def test_gradients_of_two_processes_are_those_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without batch norm (frozen to its start values) two processes take the same steps as one."""
    frozen = _WORKER.replace("from tests", "torch.nn.BatchNorm2d.forward = lambda self, x: x\nfrom tests")
    monkeypatch.setitem(globals(), "_WORKER", frozen)
    (one,) = _launch(1, tmp_path / "one", "coins")
    two, _ = _launch(2, tmp_path / "two", "coins")
    names = [name for name in one[1] if "running" not in name and "tracked" not in name]
    sums = [torch.tensor([said[1][name] for name in names]) for said in (one, two)]
    torch.testing.assert_close(*sums, rtol=1e-3, atol=1e-3)


def test_small_data_is_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    """One validation image a class has no spread; that figure is left out and nothing breaks."""
    few = restrict_rows(5)
    run = train(tiny_recipe(epochs=1, validation=0.2, batch_size=16), tmp_path / "run", few, progress=False)
    assert "effective_rank" not in run.evaluate("validation").figures
    with pytest.raises(RecipeError, match="rounds to none"):
        train(tiny_recipe(validation=0.01), tmp_path / "none", few, progress=False)


def restrict_rows(each: int) -> Manifest:
    """The first `each` training images of every coarse class."""
    manifest = tiny_manifest()
    coarse = manifest.targets[:, 0]
    train_rows = manifest.rows("train")
    kept = [train_rows[coarse[train_rows] == label][:each] for label in range(6)]
    return manifest.select(np.sort(np.concatenate(kept)))


def test_levels_keep_their_names_apart() -> None:
    """Levels that are called like a role, one level alone, and a level beside the two."""
    base = tiny_manifest()
    one = prepare(tiny_recipe(fine="coarse"), base)
    assert roles(one) == {"coarse": 0, "level:fine": 1}
    tree = Taxonomy(
        ("coarse", "mid", "fine"),
        (("all",), base.taxonomy.classes[0], base.taxonomy.classes[1]),
        ((), (0,) * 6, base.taxonomy.parents[1]),
    )
    targets = np.column_stack([np.zeros(len(base), np.int64), base.targets])
    deep = replace(base, taxonomy=tree, targets=targets)
    assert roles(prepare(tiny_recipe(coarse="mid"), deep)) == {"level:coarse": 0, "coarse": 1, "fine": 2}
    data = prepare(tiny_recipe(coarse="coarse", fine="coarse", validation=0.2), deep)
    with pytest.raises(RecipeError, match="finer labels than method 'coarse' learns from"):
        selection_metric(tiny_recipe(select_by="level:mid_recall@1"), data)
    with pytest.raises(RecipeError, match="did you mean 'coarse_top1'"):
        selection_metric(tiny_recipe(select_by="coarse_top_1"), data)


def test_divergence_in_the_last_step_is_told_as_such(tmp_path: Path) -> None:
    """One step an epoch: the weights are ruined after the check, and evaluation meets them."""
    with pytest.raises(NonFiniteError, match="diverged"):
        train(tiny_recipe(lr=1e30, batch_size=1000), tmp_path / "run", tiny_manifest(), progress=False)


def test_rows_without_a_split_are_not_passed_over() -> None:
    manifest = tiny_manifest()
    codes = manifest.split_codes.copy()
    codes[:3] = -1
    with pytest.raises(ManifestError, match=r"3 images have no split while others do \(creatures, row 1"):
        prepare(tiny_recipe(), replace(manifest, split_codes=codes))


def test_unlabelled_training_images_are_named() -> None:
    manifest = tiny_manifest()
    targets = manifest.targets.copy()
    targets[manifest.rows("train")[:2]] = -1
    with pytest.raises(SupervisionError, match=r"2 of \d+ training images have no coarse label \(creatures, row 1"):
        prepare(tiny_recipe(validation=0.0, select_on="last"), replace(manifest, targets=targets))


def test_a_start_that_fails_claims_no_folder(tmp_path: Path) -> None:
    """After mending the setting the same command works."""
    folder = tmp_path / "run"
    with pytest.raises(RecipeError, match="unknown"):
        train(tiny_recipe(backbone="cifar-resnet19", epochs=1), folder, tiny_manifest(), progress=False)
    train(tiny_recipe(epochs=1), folder, tiny_manifest(), progress=False)


@pytest.mark.parametrize("change", [{"coarse": -1}, {"taxonomy": 3}, {"method": "fine"}, {"width": 8}, {"options": 1}])
def test_a_bundle_that_was_edited_is_one_clear_error(change: dict[str, object], tmp_path: Path) -> None:
    train(tiny_recipe(epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    card = files.read_json(tmp_path / "run/bundle/bundle.json")
    files.write_json(tmp_path / "run/bundle/bundle.json", {**card, **change})
    with pytest.raises(LinnetError):
        open_bundle(tmp_path / "run/bundle")


def test_draws_from_the_global_state_are_keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net with dropout trains to the same bits twice, whatever was drawn before."""
    plain = Backbone.forward
    monkeypatch.setattr(Backbone, "forward", lambda self, x: F.dropout(plain(self, x), 0.5, self.training))
    seen = []
    for name in ("one", "two"):
        torch.rand(3)
        run = train(tiny_recipe(epochs=1), tmp_path / name, tiny_manifest(), progress=False)
        seen.append(files.digest(best_state(run.folder)))
    assert seen[0] == seen[1]


def test_a_method_that_had_no_fine_label_is_chosen_by_coarse_ones(tmp_path: Path) -> None:
    """`any-level` learns from what there is, and so it is chosen; finer validation labels need the option."""
    whole = tiny_manifest()
    targets = whole.targets.copy()
    targets[whole.rows("train"), 1] = -1
    recipe = tiny_recipe(method="any-level", epochs=1)
    run = train(recipe, tmp_path / "run", replace(whole, targets=targets), progress=False)
    assert run.summary["chosen_by"] == "coarse_top1"
    with pytest.raises(
        RecipeError, match=r"finer labels than method 'any-level' learns from.*leave it at 'coarse_top1'"
    ):
        train(
            recipe.change(select_by="fine_top1", select_on="test"),
            tmp_path / "refused",
            replace(whole, targets=targets),
            progress=False,
        )
    assert train(recipe, tmp_path / "fine", whole, progress=False).summary["chosen_by"] == "fine_top1"


def test_a_step_that_the_gradient_scaler_skips_leaves_the_instance_head_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fp16 from a scale far too large: the head steps as often as the net, and by gradients of the true size."""
    steps: list[float] = []
    plain = InstanceHead.step

    def counted(self: InstanceHead, rule: UpdateRule, loss_scale: float = 1.0) -> None:
        before = self.weight.clone()
        plain(self, rule, loss_scale)
        steps.append(float((self.weight - before).abs().max()))

    monkeypatch.setattr(InstanceHead, "step", counted)
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=2.0**20))
    recipe = tiny_recipe(method="coins", precision="fp16", epochs=3)
    train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    resumed = Checkpoints(tmp_path / "run/checkpoints").load_latest()
    assert resumed is not None
    skipped = 20 - math.log2(float(resumed[0]["scaler"][0]))
    assert 3 <= skipped <= 9
    assert len(steps) == 3 * (144 // 32) - skipped
    half, steps[:] = steps.copy(), []
    train(recipe.change(precision="fp32", epochs=2), tmp_path / "exact", tiny_manifest(), progress=False)
    assert 0.2 < half[0] / steps[0] < 5


def test_the_instance_head_is_updated_beside_adamw(tmp_path: Path) -> None:
    """By SGD with the recipe's momentum, as the setting's text says."""
    recipe = tiny_recipe(method="coins", optimizer="adamw", lr=0.003, epochs=6)
    train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    losses = [json.loads(line)["loss/instance"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
