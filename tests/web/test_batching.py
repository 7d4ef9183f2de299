"""Requests in batches: the same answers as alone, and a bound on what waits."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from linnet.web.batching import Batcher
from linnet.web.pictures import read_picture
from linnet.web.problems import FullError
from tests.web.conftest import MakeService, picture


def doubled(batches: list[int]) -> object:
    def work(given: list[int]) -> list[int]:
        batches.append(len(given))
        if -1 in given:
            raise ValueError("a bad one")
        return [2 * each for each in given]

    return work


def run_batcher(most: int, room: int, given: list[int]) -> tuple[list[object], list[int]]:
    batches: list[int] = []

    async def go() -> list[object]:
        with ThreadPoolExecutor(1) as pool:
            batcher: Batcher[int, int] = Batcher(
                doubled(batches),  # type: ignore[arg-type]
                pool,
                most=most,
                wait=0.02,
                room=room,
                what="many wait",
            )
            batcher.start()
            found = await asyncio.gather(*(batcher(each) for each in given), return_exceptions=True)
            await batcher.close()
            with pytest.raises(FullError):
                await batcher(1)
            return list(found)

    return asyncio.run(go()), batches


def test_each_gets_its_own_answer() -> None:
    found, batches = run_batcher(4, 100, list(range(10)))
    assert found == [2 * each for each in range(10)]
    assert batches == [4, 4, 2]


def test_a_bad_one_spoils_its_own_answer_only() -> None:
    found, _ = run_batcher(4, 100, [1, -1, 3])
    assert found[0] == 2 and found[2] == 6
    assert isinstance(found[1], ValueError)


def test_what_is_too_much_is_refused() -> None:
    found, _ = run_batcher(2, 3, list(range(5)))
    assert found[:3] == [0, 2, 4]
    assert all(isinstance(each, FullError) and each.headers["Retry-After"] for each in found[3:])


def test_closing_answers_what_was_taken_on() -> None:
    go, started = threading.Event(), threading.Event()

    def work(given: list[int]) -> list[int]:
        started.set()
        assert go.wait(20)
        return given

    async def main() -> list[int]:
        with ThreadPoolExecutor(1) as pool:
            batcher: Batcher[int, int] = Batcher(work, pool, most=1, wait=0, room=9, what="")
            batcher.start()
            asked = [asyncio.create_task(batcher(each)) for each in range(3)]
            while not started.is_set():
                await asyncio.sleep(0.001)
            closing = asyncio.create_task(batcher.close())
            await asyncio.sleep(0)
            go.set()
            await closing
            return await asyncio.gather(*asked)

    assert asyncio.run(main()) == [0, 1, 2]


def test_who_has_gone_away_costs_no_work() -> None:
    go, started, seen = threading.Event(), threading.Event(), []

    def work(given: list[int]) -> list[int]:
        seen.extend(given)
        started.set()
        assert go.wait(20)
        return given

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            batcher: Batcher[int, int] = Batcher(work, pool, most=1, wait=0, room=9, what="")
            batcher.start()
            first = asyncio.create_task(batcher(0))
            while not started.is_set():
                await asyncio.sleep(0.001)
            second = asyncio.create_task(batcher(1))
            await asyncio.sleep(0.01)
            second.cancel()
            await asyncio.sleep(0)
            go.set()
            assert await first == 0
            await batcher.close()

    asyncio.run(main())
    assert seen == [0]


def test_batches_of_the_net_answer_as_single_pictures_do(make_service: MakeService) -> None:
    service = make_service(index=False, discovery=False)
    pictures = [read_picture(picture(shade=9 * each), service.limits) for each in range(12)]
    alone = [service.predictor([each])[0] for each in pictures]

    async def go() -> tuple[list[np.ndarray], int]:
        service.start()
        found = await asyncio.gather(*(service.ask(each) for each in pictures))
        batches = service._ask.batches
        await service.close()
        return [each.embedding for each in found], batches

    together, batches = asyncio.run(go())
    assert batches < len(pictures)
    np.testing.assert_allclose(together, [each.embedding for each in alone], rtol=1e-4, atol=1e-5)
