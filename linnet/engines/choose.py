"""`open_engine`: an engine by its name, or the fastest that is installed and agrees with torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import RLock

import torch
from torch import Tensor

from linnet.engines.base import CannotRunError, Engine
from linnet.engines.eager import open_compiled, open_eager
from linnet.engines.int8 import open_int8
from linnet.engines.parity import compare, complaint
from linnet.engines.vino import open_vino
from linnet.errors import RecipeError, RunError, nearest
from linnet.hardware import bf16_is_fast
from linnet.methods.base import Prediction
from linnet.training.bundle import Bundle

__all__ = ["CHECKED", "ENGINES", "CheckedEngine", "open_engine"]

ENGINES = ("auto", "torch", "compile", "openvino", "openvino-int8")
"""The names that `open_engine` takes."""

CHECKED = 8
"""On how many images, at most, an engine is compared with torch."""

_logger = logging.getLogger("linnet")
_Opener = Callable[[], Engine]


def open_engine(
    bundle: Bundle,
    name: str = "auto",
    *,
    device: torch.device | str | None = None,
    threads: int | None = None,
    calibration: Tensor | None = None,
    labels: Tensor | None = None,
) -> Engine:
    """Something that runs a bundle's `predict`; normalised images (B, 3, S, S) in, float32 answers on the CPU out.

    Every engine but int8 is compared with torch in float32 on up to 8 real images: those of `calibration` at once,
    otherwise the first that it is given. bfloat16, used where the hardware multiplies it faster, gives way to float32
    where it is off. An engine that is off in float32, too, is an error where it was asked for by name; "auto" goes on
    to what is slower and right. Each step down logs one line that says why. int8 tells its loss instead.

    Args:
        name: "torch"; "compile" (torch.compile); "openvino" and "openvino-int8", on the CPU; "auto": OpenVINO on a CPU
            where it is installed, else torch.
        device: where torch runs; a GPU where there is one, when None, but for OpenVINO.
        threads: of the CPU; torch's number when None.
        calibration: normalised images (n, 3, S, S) of the user's own, which int8 needs to find its ranges.
        labels: int64 (n,), the class of each, -1 unknown; with them int8's loss is told in recall@1, too.

    Raises:
        RecipeError: no such name, or int8 without enough images.
        RunError: a package is missing (names the extra), the device is not there, or the engine that was named cannot
            run the method or does not agree with torch.
    """
    if name not in ENGINES:
        raise RecipeError(f"engine {name!r}: choose one of {', '.join(ENGINES)}{nearest(name, ENGINES)}")
    place = _device(name, device)
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "openvino-int8":
        try:
            return open_int8(bundle, calibration, labels, threads)
        except CannotRunError as error:
            raise RunError(f"engine 'openvino-int8' cannot run {bundle.card['method']!r}: {error}") from None
    engine = CheckedEngine(partial(open_eager, bundle, place), _candidates(bundle, name, place, threads), name)
    if calibration is not None:
        engine.check(calibration)
    return engine


def _candidates(bundle: Bundle, name: str, place: torch.device, threads: int | None) -> list[_Opener]:
    """What may be opened under a name, fastest first."""
    precisions = ["bfloat16", "float32"] if bf16_is_fast(place) else ["float32"]
    by_name: dict[str, list[_Opener]] = {
        "openvino": [partial(open_vino, bundle, each, threads) for each in precisions],
        "compile": [partial(open_compiled, bundle, place, each) for each in precisions],
        "torch": [partial(open_eager, bundle, place, each) for each in precisions],
    }
    if name != "auto":
        return by_name[name]
    # Not torch.compile, which takes up to a minute in every process and then half of OpenVINO's gain.
    return by_name["torch"] if place.type != "cpu" else by_name["openvino"] + by_name["torch"]


class CheckedEngine:
    """The first of some engines that opens and agrees with a reference on the first images that it sees.

    Raises:
        RunError: when opened, or at the first call: none does.
    """

    def __init__(self, reference: _Opener, candidates: list[_Opener], asked: str) -> None:
        self._reference, self._candidates, self._asked = reference, list(candidates), asked
        self._sure, self._lock = False, RLock()
        self._reasons: list[str] = []
        self._engine = self._next()

    @property
    def name(self) -> str:
        """The engine at work."""
        return self._engine.name

    @property
    def precision(self) -> str:
        """What it multiplies in."""
        return self._engine.precision

    def __call__(self, images: Tensor) -> Prediction:
        """See `Engine`."""
        if not self._sure and len(images):
            self.check(images)
        return self._engine(images)

    def check(self, images: Tensor) -> None:
        """Compare on the first of these images, unless that was done, and step down for as long as it is off."""
        with self._lock:
            if self._sure:
                return
            few = images[:CHECKED]
            expected = None
            while (self._engine.name, self._engine.precision) != ("torch", "float32"):
                expected = expected or self._reference()(few)
                wrong = complaint(compare(expected, self._engine(few)), self._engine.precision)
                if wrong is None:
                    break
                self._reasons.append(f"{self._engine.name} in {self._engine.precision}: {wrong}")
                self._engine = self._next()
            self._sure = True

    def _next(self) -> Engine:
        """Open the next candidate that can be, and tell why it is not an earlier one."""
        while self._candidates:
            try:
                engine = self._candidates.pop(0)()
            except (CannotRunError, RunError) as error:
                if str(error) not in self._reasons:
                    self._reasons.append(str(error))
                continue
            if self._reasons:
                _logger.warning("engine: %s in %s; %s", engine.name, engine.precision, "; ".join(self._reasons))
                self._reasons = []
            return engine
        raise RunError(f"engine {self._asked!r} cannot be used: {'; '.join(self._reasons)}; 'torch' always can")


def _device(name: str, given: torch.device | str | None) -> torch.device:
    """Where to run.

    Raises:
        RunError: a device that is not there or that the engine does not run on.
    """
    if given is None:
        there = torch.cuda.is_available() and not name.startswith("openvino")
        return torch.device("cuda" if there else "cpu")
    device = torch.device(given)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RunError("device 'cuda', but this torch sees no GPU; use 'cpu', or leave it out")
    if name.startswith("openvino") and device.type != "cpu":
        raise RunError(f"engine {name!r} runs on the CPU; leave the device {device.type!r} out, or use 'torch'")
    return device
