"""Requests gathered into batches for one worker, so that load neither piles up nor blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Generic, TypeVar

from linnet.web.problems import FullError

__all__ = ["Batcher", "Gate"]

Given = TypeVar("Given")
Answer = TypeVar("Answer")

_logger = logging.getLogger("linnet.web")


class Gate:
    """Lets so many through at once."""

    def __init__(self, room: int, what: str) -> None:
        self.room, self.inside, self._what = room, 0, what

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            FullError: there is none.
        """
        if self.inside >= self.room:
            raise FullError(self._what)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


class Batcher(Generic[Given, Answer]):
    """Asks `work` about batches: what comes in within `wait` seconds, up to `most`, or while a batch is in work.

    Args:
        work: runs in `executor`; a batch to as many answers, in order.
        room: how many may wait or be in work at once.
        what: what there is too much of, for the error.
    """

    def __init__(
        self,
        work: Callable[[list[Given]], Sequence[Answer]],
        executor: Executor,
        *,
        most: int,
        wait: float,
        room: int,
        what: str,
    ) -> None:
        self._work, self._executor, self._most, self._wait = work, executor, most, wait
        self._gate = Gate(room, what)
        self._waiting: asyncio.Queue[tuple[Given, asyncio.Future[Answer]] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.batches = 0

    def start(self) -> None:
        """Begin to work, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Take on nothing new, and return when what was taken on is answered."""
        self._closed = True
        if self._task is not None:
            self._waiting.put_nowait(None)
            await self._task

    async def __call__(self, given: Given) -> Answer:
        """The answer about one.

        Raises:
            FullError: no room, or closing.
        """
        if self._closed:
            raise FullError("it is shutting down")
        with self._gate.enter():
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            self._waiting.put_nowait((given, future))
            return await future

    async def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = await self._gather()
            # Who has gone away meanwhile needs no answer.
            batch = [each for each in batch if not each[1].done()]
            if batch:
                self.batches += 1
                await self._answer(batch)

    async def _gather(self) -> tuple[list[tuple[Given, asyncio.Future[Answer]]], bool]:
        """A batch, and whether it is the last."""
        batch: list[tuple[Given, asyncio.Future[Answer]]] = []
        first = await self._waiting.get()
        if first is None:
            return batch, True
        batch.append(first)
        until = asyncio.get_running_loop().time() + self._wait
        while len(batch) < self._most:
            try:
                async with asyncio.timeout_at(until):
                    # What waits already is taken whatever the time is.
                    each = self._waiting.get_nowait() if not self._waiting.empty() else await self._waiting.get()
            except TimeoutError:
                break
            if each is None:
                return batch, True
            batch.append(each)
        return batch, False

    async def _answer(self, batch: list[tuple[Given, asyncio.Future[Answer]]]) -> None:
        try:
            found = await self._ask([given for given, _ in batch])
        except Exception as error:
            if len(batch) > 1:  # one may spoil it for the others
                for each in batch:
                    await self._answer([each])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), answer in zip(batch, found, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _ask(self, given: list[Given]) -> Sequence[Answer]:
        found = await asyncio.get_running_loop().run_in_executor(self._executor, self._work, given)
        if len(found) != len(given):
            raise ValueError(f"{len(found)} answers about {len(given)}")
        return found
