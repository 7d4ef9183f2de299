"""Ridge regression from sums over the data, so that one pass over the images is enough."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from linnet.losses.linear import in_full_precision

__all__ = ["RidgeSums", "ridge"]


class RidgeSums(nn.Module):
    """Sums of x x' over images and of x over each class: all that a regression on class vectors needs.

    With several processes each adds the batches of all, so that the sums are the same everywhere at every step.

    Args:
        dim: D, the length of x.
        classes: C.

    Attributes:
        gram: float64 (D, D), the sum of x x'.
        by_class: float64 (C, D), the sum of x over the images of each class.
        count: float64 (C,), the images of each class.
    """

    gram: Tensor
    by_class: Tensor
    count: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("gram", torch.zeros(dim, dim, dtype=torch.float64))
        self.register_buffer("by_class", torch.zeros(classes, dim, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(classes, dtype=torch.float64))

    @torch.no_grad()
    def add(self, rows: Tensor, labels: Tensor) -> None:
        """Take in x (B, D), any floating dtype, and its classes (B,)."""
        with in_full_precision(rows):
            exact = rows.double()
            of_class = nn.functional.one_hot(labels, len(self.count)).to(exact.dtype)
            more = (exact.T @ exact, of_class.T @ exact, of_class.sum(0))
        for total, part in zip((self.gram, self.by_class, self.count), more, strict=True):
            if dist.is_initialized():
                dist.all_reduce(part)
            total.add_(part)

    @torch.no_grad()
    def solve(self, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """Weight W (A, D) and bias b (A,), float32, that minimise the ridge objective over the images seen:

            sum_i |W x_i + b - t(y_i)|^2 + strength * s * |W|^2,    s = trace(sum_i (x_i - m)(x_i - m)') / D

        with m the mean of x; s makes the strength independent of the scale of x and of the number of images.

        Args:
            targets: t, one vector a class, (C, A).
            strength: above 0.

        Raises:
            ValueError: nothing has been added.
        """
        total = self.count.sum()
        if not bool(total > 0):
            raise ValueError("ridge: no image has been added yet")
        t = targets.to(self.gram)
        mean_x, mean_t = self.by_class.sum(0) / total, self.count @ t / total
        gram = self.gram - total * mean_x.outer(mean_x)
        return _solve(gram, self.by_class.T @ t - total * mean_x.outer(mean_t), mean_x, mean_t, strength)


def _solve(gram: Tensor, cross: Tensor, mean_x: Tensor, mean_t: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """From the centred sums of x x' (D, D) and x t' (D, A), and both means."""
    scale = gram.diagonal().mean().clamp_min(torch.finfo(gram.dtype).tiny)
    penalty = strength * scale * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weight = torch.linalg.solve(gram + penalty, cross).T
    return weight.float(), (mean_t - weight @ mean_x).float()


@torch.no_grad()
def ridge(rows: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """`RidgeSums.solve` for rows x (N, D) that are at hand, each with a target (N, A) of its own."""
    x, t = rows.double(), targets.double()
    mean_x, mean_t = x.mean(0), t.mean(0)
    x, t = x - mean_x, t - mean_t
    return _solve(x.T @ x, x.T @ t, mean_x, mean_t, strength)
