"""runtime/slices.py: long work lets the event loop turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from region_operator.runtime.slices import SLICE_SECONDS, run_in_slices
from tests.harness.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Generator


async def test_the_loop_turns_after_each_slice_of_work_and_the_result_is_returned() -> None:
    clock, turns = Clock(), 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def work(pieces: int, seconds: float) -> Generator[None, None, str]:
        for _ in range(pieces):
            clock.now += seconds
            yield
        return "done"

    counting = asyncio.ensure_future(count_turns())
    assert await run_in_slices(work(100, SLICE_SECONDS / 100), clock=clock) == "done"
    assert turns <= 2, "short work is not interrupted"
    assert await run_in_slices(work(10, SLICE_SECONDS), clock=clock) == "done"
    assert turns >= 10
    counting.cancel()
