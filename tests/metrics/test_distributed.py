"""Two processes end with the rows, and the figures, of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from linnet.metrics.distributed import gather_rows
from linnet.metrics.recall import recall_at_k

WORLD = 2


def rows_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(31, 6, generator=generator), torch.randint(-1, 4, (31,), generator=generator)


def share(rank: int) -> torch.Tensor:
    """Shuffled, interleaved rows; one repeated to make the shares equal, as samplers do; then uneven."""
    order = torch.randperm(31, generator=torch.Generator().manual_seed(3))
    padded = torch.cat([order, order[:1]])
    return torch.cat([padded[rank::WORLD], padded[: 3 * rank]])


def worker(rank: int, meeting: str, target: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    embeddings, labels = rows_and_labels()
    mine = share(rank)
    together = gather_rows(mine, embeddings[mine], labels[mine], labels[mine] >= 0)
    empty = gather_rows(mine[:0] if rank else mine, embeddings[mine[:0] if rank else mine])[0]
    nothing = gather_rows(mine[:0], embeddings[mine[:0]])[0]
    torch.save([*together, empty, nothing], f"{target}.{rank}")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.timeout(180)
def test_two_processes_see_what_one_sees(tmp_path: Path) -> None:
    mp.spawn(worker, (str(tmp_path / "meeting"), str(tmp_path / "out")), nprocs=WORLD)
    embeddings, labels = rows_and_labels()
    for rank in range(WORLD):
        got, got_labels, known, empty, nothing = torch.load(f"{tmp_path / 'out'}.{rank}")
        assert torch.equal(got, embeddings)
        assert torch.equal(got_labels, labels)
        assert torch.equal(known, labels >= 0)
        assert torch.equal(empty, embeddings[share(0).sort().values])
        assert nothing.shape == (0, 6)
        assert recall_at_k(got, got_labels) == recall_at_k(embeddings, labels)


def test_one_process_sorts_and_drops_repetitions() -> None:
    rows = torch.tensor([3, 0, 3, 1])
    assert gather_rows(rows, rows * 10, torch.tensor([1.0, 2.0, 9.0, 3.0]))[1].tolist() == [2.0, 3.0, 1.0]
    assert gather_rows(rows) == ()
    with pytest.raises(ValueError, match="one entry for each of the 4 rows"):
        gather_rows(rows, torch.zeros(3))
