"""The instance head over several processes: the losses, gradients and weights of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from linnet.losses.instance import InstanceHead
from linnet.losses.instance_sampled import SampledInstanceHead
from linnet.losses.owned import UpdateRule

GROUPS = torch.tensor([0, 2, 2, 0, 4, 2, 2, 0, 1, 2, 4, 0])  # group 3 is empty
BATCH, STEPS = 6, 8

Seen = list[tuple[torch.Tensor, torch.Tensor]]


def steps(head: InstanceHead, first: int, rank: int = 0, world: int = 1) -> Seen:
    """Loss and gradient of this process's share at each step; few groups a batch, so that others lag."""
    seen = []
    share = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    for number in range(first, first + STEPS):
        generator = torch.Generator().manual_seed(number)
        embedding = torch.randn(BATCH, 4, dtype=torch.float64, generator=generator)[share].requires_grad_()
        index = torch.randint(3, (BATCH,), generator=generator) + number % 4 * 3
        loss = head(embedding, index[share])
        (2 * loss).backward()
        head.step(UpdateRule(0.1, 0.9, 0.01), 2.0)
        assert embedding.grad is not None
        seen.append((loss.detach(), embedding.grad))
    return seen


def make_head(temperature: float | None, sample: int | None, kinds: int) -> InstanceHead:
    torch.manual_seed(0)
    groups = GROUPS % kinds
    if sample is not None:
        return SampledInstanceHead(groups, 4, temperature, sample=sample).double()
    return InstanceHead(groups, 4, temperature, engine="torch").double()


def worker(rank: int, world: int, temperature: float | None, sample: int | None, kinds: int, folder: str) -> None:
    """Train, keep the whole state, go on from the state that one process kept."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    head = make_head(temperature, sample, kinds)
    head.shard(rank, world)
    seen = steps(head, 0, rank, world)
    state = {name: value.clone() for name, value in head.whole().items()}
    head.load_state_dict(torch.load(f"{folder}/state"))
    seen += steps(head, STEPS, rank, world)
    torch.save([seen, state, head.whole(), len(head.weight)], f"{folder}/out.{rank}")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("world", "temperature", "sample", "kinds"),
    [(2, None, None, 5), (3, 0.2, None, 5), (2, 0.2, 1, 5), (2, 0.2, None, 1)],
)
def test_processes_learn_what_one_learns(
    world: int, temperature: float | None, sample: int | None, kinds: int, tmp_path: Path
) -> None:
    """Each image's loss and gradient wherever its group lies; a state moves between any numbers of processes.

    Of one group, as with scope = "all", one process holds all and the others nothing.
    """
    one = make_head(temperature, sample, kinds)
    expected = steps(one, 0)
    state: dict[str, Any] = {name: value.clone() for name, value in one.state_dict().items()}
    torch.save(state, tmp_path / "state")
    expected += steps(one, STEPS)
    mp.spawn(worker, (world, temperature, sample, kinds, str(tmp_path)), nprocs=world)
    said = [torch.load(tmp_path / f"out.{rank}") for rank in range(world)]
    for number, (loss, gradient) in enumerate(expected):
        shares = [seen[number] for seen, *_ in said]
        torch.testing.assert_close(torch.stack([loss for loss, _ in shares]).mean(), loss)
        # The loop averages gradients over processes, so each process's own are of the mean over its share.
        torch.testing.assert_close(torch.cat([gradient for _, gradient in shares]) / world, gradient)
    for _, early, late, _ in said:
        torch.testing.assert_close(early, state)
        torch.testing.assert_close(late, dict(one.state_dict()))
    assert sum(rows for *_, rows in said) == len(GROUPS)
    assert (max(rows for *_, rows in said) < len(GROUPS)) == (kinds > 1)
