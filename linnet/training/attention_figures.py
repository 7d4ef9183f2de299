"""How far an ensemble's members look at the same places, over a split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from linnet.methods.base import Method
from linnet.metrics.attention import attention_correlation, attention_overlap, other_images
from linnet.metrics.distributed import gather_rows
from linnet.training.device import Place
from linnet.training.source import Source

__all__ = ["attention_figures", "member_maps"]


def attention_figures(maps: Tensor, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """`attention_overlap` (percent) and `attention_correlation` (-1 to 1) of members' maps (M, n, P), and their floors.

    The floors are of maps of different images, drawn by the seed: what members share because things stand in the
    middle of photos. Independent members are far above them; the OR-loss of paper 004 brings members down towards
    them or below.
    """
    figures = {
        "attention_overlap": attention_overlap(maps),
        "attention_correlation": attention_correlation(maps),
    }
    if maps.shape[1] < 2:
        return figures, {}
    partners = other_images(maps.shape[1], seed)
    return figures, {
        "attention_overlap": attention_overlap(maps, partners),
        "attention_correlation": attention_correlation(maps, partners),
    }


@torch.inference_mode()
def member_maps(method: Method, source: Source, place: Place, batch_size: int) -> Tensor:
    """Every member's attention (M, n, P) to the images of a source; every process gets all images, in order.

    Raises:
        ValueError: the method gives no maps called "member 1" and so on.
    """
    method.eval()
    # A process without a row repeats the first one, so that all have the same to gather.
    mine = np.arange(min(place.rank, len(source) - 1), len(source), place.world)
    parts = []
    for batch in source.sequential(batch_size, mine):
        with place.autocast():
            maps = method.attention(batch.images)
        members = [each.float().flatten(1) for name, each in maps.items() if name.startswith("member ")]
        if not members:
            raise ValueError(f"{type(method).__name__} has members, yet its maps are called {', '.join(maps)}")
        parts.append(torch.stack(members, 1))
    (gathered,) = gather_rows(torch.from_numpy(mine).to(place.device), torch.cat(parts))
    return gathered.transpose(0, 1).cpu()
