"""`spaen`: alignment, and the attributes given back by a decoder."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.methods.check import build, check_method, make_batch

SMALL = {"dim": 16, "hidden": 12}


def test_spaen(tmp_path: Path) -> None:
    """The battery."""
    check_method("spaen", tmp_path, {**SMALL, "reconstruction": 5.0}, export=False)


def test_reconstruction_is_the_mean_squared_error_of_the_attributes() -> None:
    """Weighed 200, and the rest is `transfer`."""
    method, batch = build("spaen", options=SMALL), make_batch(9)
    (terms,) = method.losses(batch)
    assert list(terms) == ["alignment", "classes", "reconstruction"]
    assert [term.weight for term in terms.values()] == [1.0, 1.0, 200.0]
    a = method.task.coarse_attributes
    with torch.no_grad():
        again = method.decoder(method.interpreter(a))
        squares = [(again[c, k] - a[c, k]) ** 2 for c in range(len(a)) for k in range(a.shape[1])]
    torch.testing.assert_close(terms["reconstruction"].value.detach(), torch.stack(squares).mean())
    assert not any(name.startswith("decoder") for name in method.bundle_state())
