"""The 2 x 2 recurrence that untouched blocks follow, and how rows are laid out and shared."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.losses.instance_blocks import advance, apply_map, gradient_gain, nothing_pending, update_map
from linnet.losses.instance_layout import Layout, share_out
from linnet.losses.owned import UpdateRule
from tests.reference.instance import step_by_rule

rules = st.builds(
    UpdateRule,
    lr=st.floats(0, 2),
    momentum=st.floats(0, 0.999),
    weight_decay=st.floats(0, 0.5),
    nesterov=st.booleans(),
)


@given(rule=rules, w=st.floats(-5, 5), v=st.floats(-5, 5), g=st.floats(-5, 5))
def test_the_map_and_the_gain_are_the_rule(rule: UpdateRule, w: float, v: float, g: float) -> None:
    """(w; v) -> M (w; v) + (gain; 1) g."""
    old, gradient = torch.tensor([w, v], dtype=torch.float64), torch.tensor(g, dtype=torch.float64)
    new = update_map(rule) @ old + torch.tensor([gradient_gain(rule), 1.0], dtype=torch.float64) * gradient
    torch.testing.assert_close(new, torch.stack(step_by_rule(old[0], old[1], gradient, rule)), rtol=1e-12, atol=1e-12)


@given(steps=st.lists(st.tuples(rules, st.sets(st.integers(0, 3))), max_size=30), seed=st.integers(0, 99))
def test_steps_taken_late_are_steps_taken(steps: list[tuple[UpdateRule, set[int]]], seed: int) -> None:
    """Blocks that are brought up to date only when touched end where blocks end that took every step at once."""
    generator = torch.Generator().manual_seed(seed)
    weight, velocity = torch.randn(2, 4, 3, 2, generator=generator, dtype=torch.float64)
    late_weight, late_velocity, pending = weight.clone(), velocity.clone(), nothing_pending(4)
    for rule, touched in steps:
        weight, velocity = step_by_rule(weight, velocity, torch.zeros_like(weight), rule)
        for block in touched:
            apply_map(late_weight[block], late_velocity[block], update_map(rule) @ pending[block])
        advance(pending, torch.tensor(sorted(touched), dtype=torch.int64), rule)
    for block in range(4):
        apply_map(late_weight[block], late_velocity[block], pending[block])
    torch.testing.assert_close(late_weight, weight, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(late_velocity, velocity, rtol=1e-9, atol=1e-9)


@given(groups=st.lists(st.integers(0, 6), max_size=30), world=st.integers(1, 4))
def test_shares_hold_every_row_once(groups: list[int], world: int) -> None:
    """Whole groups, ascending; no process holds more than the largest group above the least laden one."""
    layout = Layout(torch.tensor(groups, dtype=torch.int64))
    assert sorted(layout.position.tolist()) == list(range(len(groups)))
    shares = share_out(layout.sizes, world)
    rows = torch.cat([layout.rows(held) for held in shares])
    assert sorted(rows.tolist()) == list(range(len(groups)))
    loads = [int(layout.sizes[held].sum()) for held in shares]
    assert max(loads) - min(loads) <= (int(layout.sizes.max()) if groups else 0)
    for held in shares:
        layout.hold(held)
        assert len(layout) == int(layout.sizes[held].sum())
        assert [layout.block(group).stop - layout.block(group).start for group in held] == layout.sizes[held].tolist()
