"""How the net is compiled where."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from linnet.backbones import Backbone
from linnet.training import compiling
from linnet.training.compiling import compile_net
from tests.training.tiny import tiny_recipe


class Asked(Backbone):
    """Remembers with what it is to be compiled."""

    def __init__(self) -> None:
        super().__init__(1)
        self.asked: list[dict[str, Any]] = []

    def compile(self, *args: Any, **kwargs: Any) -> None:
        self.asked.append(kwargs)


def asked(device: str, **settings: Any) -> list[dict[str, Any]]:
    net = Asked()
    compile_net(net, tiny_recipe(**settings), torch.device(device))
    return net.asked


def test_a_gpu_replays_graphs_where_all_batches_have_one_shape() -> None:
    assert asked("cuda") == []
    assert asked("cpu", compile=True) == [{}]
    for drop_last in (True, False):
        (given,) = asked("cuda", compile=True, drop_last=drop_last)
        assert given["dynamic"] is False
        assert given["options"]["triton.cudagraphs"] is drop_last
        assert set(given["options"]) <= set(torch._inductor.list_options())


def test_without_triton_the_net_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING, logger="linnet"):
        assert asked("cuda", compile=True) == []
    assert "uncompiled" in caplog.text
