"""listen.py's debounce, in an event loop's own time."""

from __future__ import annotations

import asyncio

from region_operator.listen import Debounce


async def test_a_burst_is_one_call_and_the_next_burst_another() -> None:
    calls: list[int] = []
    called = asyncio.Event()

    def call() -> None:
        calls.append(1)
        called.set()

    changed = Debounce(call, seconds=0)
    for _ in range(10_000):
        changed()
    await asyncio.wait_for(called.wait(), 5)
    assert len(calls) == 1
    called.clear()
    changed()
    await asyncio.wait_for(called.wait(), 5)
    assert len(calls) == 2
