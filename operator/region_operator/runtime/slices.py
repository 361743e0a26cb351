"""Runs long work in slices, so that the event loop turns between two slices.

The work is a generator that yields often. Nothing else has to know how long a piece of the work takes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")

SLICE_SECONDS = 0.01
"""How much time one slice takes. A request to the API server takes about as long."""


async def run_in_slices(work: Generator[None, None, T], *, clock: Callable[[], float] = time.monotonic) -> T:
    """Run `work` to its end and return its result. `clock` returns seconds."""
    until = clock() + SLICE_SECONDS
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if clock() >= until:
            await asyncio.sleep(0)
            until = clock() + SLICE_SECONDS
