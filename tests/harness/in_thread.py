"""Runs an asynchronous server beside a test that is not asynchronous, such as one that drives a browser."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")

START_SECONDS = 120


@contextmanager
def in_thread(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter an asynchronous context on a loop of its own, in a thread, for a `with` block."""
    loop, entered = asyncio.new_event_loop(), threading.Event()
    found: list[T | BaseException] = []

    async def hold(until: asyncio.Event) -> None:
        try:
            async with context as value:
                found.append(value)
                entered.set()
                await until.wait()
        except BaseException as error:
            found.append(error)
            entered.set()
            raise

    left = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(hold(left)), name="server")
    thread.start()
    try:
        assert entered.wait(START_SECONDS), "the server did not start"
        if isinstance(found[0], BaseException):
            raise found[0]
        yield found[0]
    finally:
        loop.call_soon_threadsafe(left.set)
        thread.join(START_SECONDS)
        loop.close()
