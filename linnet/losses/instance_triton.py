"""The instance head on a GPU: grouped products with the softmax and the update fused in, by Triton.

What moves through device memory in a step, with n the rows of the touched blocks, l those of them that lag, D the
embedding's size and 4 bytes a number:

    forward    reads W once: 4 n D, and V where a block lags: 4 l D
    combine    one row of W (and V) for each image, and the forward programs' sums, which stay in the L2 cache
    step       reads and writes W and V once: 16 n D

so 20 n D + 4 l D, beside logits of 4 bytes for each image and instance of its group, written once and read once. Where
they would be more than `KEPT` (one group of very many instances) the step makes them again in slabs: 4 n D more.

Which blocks a batch touches is known on the host before the step, because the host draws the batch: `Touched` holds it,
one small upload carries it, and the launches have just as many programs as there is work, at 20 groups as at 1,000. The
other way, a program for every block that looks whether it is touched, would keep the pending maps on the device and
start tens of thousands of programs for nothing where 1,000 groups are there and a batch touches 226 of them.

`torch._grouped_mm` would do the products alone, on tensor cores in bf16 only: W would need a bf16 copy, its gradient
would be written and read again (8 n D more), and softmax and update would be passes of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from linnet.losses.instance_blocks import Touched
from linnet.losses.instance_plan import Pieces, Plan, Tiles, make_plan, slabs, touched_pieces
from linnet.losses.owned import UpdateRule

__all__ = ["KEPT", "LARGEST", "SHARED", "Precision", "TritonEngine", "available"]

KEPT = 1 << 24
"""Logits that are kept between the phases: 64 MiB of them."""

LARGEST = 1024
"""The largest D: a tile of whole weight rows must lie in a multiprocessor's shared memory."""

SHARED = 196_628
"""Bytes of shared memory that the largest forward program takes, as compiled for sm_90 by Triton 3.6 and 3.9."""

Precision = Literal["tf32", "bf16x3", "ieee"]


def available(device: torch.device, dtype: torch.dtype, dim: int = 1) -> bool:
    """Whether `TritonEngine` serves such weights: float32, D up to `LARGEST`, a GPU with room for it, and Triton there.

    The room is shared memory: an H100 and those after it have `SHARED` bytes of it, most others have not.
    """
    if device.type != "cuda" or dtype != torch.float32 or dim > LARGEST:
        return False
    if find_spec("triton") is None or not torch.cuda.is_available():
        return False
    return bool(torch.cuda.get_device_properties(device).shared_memory_per_block_optin >= SHARED)


@dataclass(frozen=True)
class _Operands:
    weight: Tensor
    velocity: Tensor
    embedding: Tensor
    place: Tensor
    temperature: float | None

    @property
    def dim(self) -> int:
        return self.weight.shape[1]

    @property
    def cosine(self) -> bool:
        return self.temperature is not None

    @property
    def inverse_temperature(self) -> float:
        return 1.0 if self.temperature is None else 1.0 / self.temperature

    def empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=self.weight.device)


@dataclass
class _Residual:
    """Logits (None: to be made again), inverse norms, and the log of each row's softmax denominator (B,)."""

    pieces: Pieces
    plan: Plan
    temperature: float | None
    logits: Tensor | None
    norms: Tensor
    log_total: Tensor


@dataclass(frozen=True)
class TritonEngine:
    """`Engine` for CUDA. No sum's order depends on the schedule: the same device type gives the same bits.

    Attributes:
        precision: of the products: "tf32" (10 bits of mantissa), "bf16x3" (three products of 8 bits each, nearly
            float32), or "ieee" (float32, no matrix units). Softmax, sums and update are float32 always.
        tiles: sizes, for tuning.
        kept: as `KEPT`.
    """

    precision: Precision = "tf32"
    tiles: Tiles = field(default_factory=Tiles)
    kept: int = KEPT

    def forward(
        self, weight: Tensor, velocity: Tensor, embedding: Tensor, touched: Touched, temperature: float | None
    ) -> tuple[Tensor, Tensor, _Residual]:
        """As `Engine.forward`."""
        from linnet.losses.instance_kernels import combine_kernel

        on = _Operands(weight, velocity, embedding, touched.place, temperature)
        pieces = touched_pieces(touched)
        plan = self._plan(pieces, on)
        logits = on.empty(plan.logits) if plan.logits <= self.kept else None
        norms = on.empty(plan.norms if on.cosine else 1)
        own_logit, loss, log_total = on.empty(3, len(embedding))
        parts = self._forward(on, plan, logits, norms, own_logit)
        gradient = torch.empty_like(embedding)
        columns = min(128, _power_of_two(on.dim))
        combine_kernel[(len(embedding), -(-on.dim // columns))](
            *(weight, velocity, plan.table, plan.lags, plan.blocks, touched.place, norms, own_logit),
            *(*parts, loss, gradient, log_total, on.dim, on.inverse_temperature),
            SLOTS=plan.slots,
            BLOCK_C=16,
            BLOCK_D=columns,
            COSINE=on.cosine,
            LAG=plan.lag,
            num_warps=4,
            enable_fp_fusion=True,
        )
        return loss, gradient, _Residual(pieces, plan, temperature, logits, norms, log_total)

    def step(
        self,
        weight: Tensor,
        velocity: Tensor,
        embedding: Tensor,
        residual: _Residual,
        touched: Touched,
        rule: UpdateRule,
        scale: float | Tensor,
    ) -> None:
        """As `Engine.step`."""
        on = _Operands(weight, velocity, embedding, touched.place, residual.temperature)
        factor = scale.float() if isinstance(scale, Tensor) else on.empty(1).fill_(scale)
        if residual.logits is not None:
            self._step(on, residual.plan, residual.logits, residual, rule, factor)
            residual.logits = None
            return
        own_logit = torch.empty_like(residual.log_total)
        for part in slabs(residual.pieces, self.kept):
            plan = self._plan(part, on)
            logits = on.empty(plan.logits)
            self._forward(on, plan, logits, residual.norms, own_logit)
            self._step(on, plan, logits, residual, rule, factor)

    def _plan(self, pieces: Pieces, on: _Operands) -> Plan:
        crowded = int(pieces.rows.max()) > 32 and on.dim <= 512
        return make_plan(pieces, len(on.embedding), 32 if crowded else 16, self.tiles, on.weight.device)

    def _forward(
        self, on: _Operands, plan: Plan, logits: Tensor | None, norms: Tensor, own_logit: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fill logits, norms and own logits; returns each program's greatest logits, sums and weighted sums."""
        from linnet.losses.instance_kernels import forward_kernel

        tiles, whole = self.tiles, _power_of_two(on.dim)
        # Then one program fills a multiprocessor's registers or shared memory, and takes the warps of two.
        large = whole > 512 or plan.lag or plan.batch_rows > 16 or self.precision != "tf32"
        warps = min(2 * tiles.warps if large else tiles.warps, whole // 16)
        parts = on.empty(plan.parts), on.empty(plan.parts), on.empty(plan.parts, on.dim)
        forward_kernel[(plan.programs,)](
            *(on.weight, on.velocity, on.embedding, plan.table, plan.lags, on.place),
            *(norms if logits is None else logits, norms, own_logit, *parts, on.dim, on.inverse_temperature),
            SLOTS=plan.slots,
            BLOCK_B=plan.batch_rows,
            BLOCK_N=tiles.rows,
            SLICES=warps,
            BLOCK_D=whole // warps,
            COSINE=on.cosine,
            LAG=plan.lag,
            STORE=logits is not None,
            PRECISION=self.precision,
            num_warps=warps,
            num_stages=1 if whole > 512 or self.precision != "tf32" else tiles.stages,
            enable_fp_fusion=True,
        )
        return parts

    def _step(
        self, on: _Operands, plan: Plan, logits: Tensor, residual: _Residual, rule: UpdateRule, factor: Tensor
    ) -> None:
        from linnet.losses.instance_kernels import step_kernel

        tiles = self.tiles
        columns = min(tiles.step_columns, _power_of_two(on.dim))
        skip = rule.skip
        step_kernel[(plan.tiles * -(-on.dim // columns),)](
            *(on.weight, on.velocity, on.embedding, plan.table, plan.lags, on.place),
            *(logits, residual.norms, residual.log_total, factor, factor if skip is None else skip),
            *(on.dim, on.inverse_temperature, rule.lr, rule.momentum, rule.weight_decay),
            SLOTS=plan.slots,
            BLOCK_B=16,
            BLOCK_N=tiles.step_rows,
            BLOCK_D=columns,
            COSINE=on.cosine,
            NESTEROV=rule.nesterov,
            SKIP=skip is not None,
            PRECISION=self.precision,
            num_warps=tiles.step_warps,
            enable_fp_fusion=True,
        )


def _power_of_two(dim: int) -> int:
    """The least power of two that holds D, and is large enough for a matrix product."""
    return max(16, 1 << (dim - 1).bit_length())
