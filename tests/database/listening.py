"""The operator's own listener, and what it did so far."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from region_operator.database.triggers import Triggers
from region_operator.regions.hearing import Hearing
from region_operator.regions.listen import listen
from tests.harness.clock import Clock
from tests.harness.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest


class Listener:
    """What a running `listen` did so far. Edits are timed by `clock`."""

    def __init__(self, log: pytest.LogCaptureFixture, triggers: Triggers) -> None:
        self.wakes = 0
        self.clock = Clock()
        self.hearing = Hearing(triggers, clock=self.clock)
        self._log = log

    def wake(self) -> None:
        self.wakes += 1

    def logged(self, event: str) -> int:
        return [record.message for record in self._log.records].count(event)

    async def until(self, condition: Callable[[], bool], *, what: str, seconds: float = PATIENCE_SECONDS) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - it waits for many things
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}") from None


@asynccontextmanager
async def listening(
    url: str, log: pytest.LogCaptureFixture, triggers: Triggers | None = None
) -> AsyncIterator[Listener]:
    log.set_level(logging.INFO)
    listener = Listener(log, triggers or Triggers(may_make=False))
    task = asyncio.create_task(listen(lambda: url, listener.wake, listener.hearing))
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
