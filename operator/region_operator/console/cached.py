"""Remembers an answer for a while, so that many people who ask at once cost one question.

An answer that is young enough is given again. An older one is asked for anew by one task, however many wait. Whoever
waits gets the old answer after a moment, if the old answer is not too old. After an error nobody gets the old answer:
it would hide that something is wrong. What is made of an answer, such as a page, is made once too.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")


PATIENCE_SECONDS = 0.15
"""How long a person waits for a newer answer, if there is an old one."""


class Cached(Generic[T]):
    """Asks `ask` at most every `fresh_seconds`. An answer of up to `stale_seconds` is given while a newer one takes
    longer than `patience_seconds`, but not after an error. `clock` returns seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        fresh_seconds: float,
        stale_seconds: float = 0.0,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._clock = ask, clock
        self._fresh, self._stale, self._patience = fresh_seconds, stale_seconds, patience_seconds
        self._answer: tuple[float, T] | None = None
        self._asking: asyncio.Task[T] | None = None
        self._failed = False

    @property
    def latest(self) -> T | None:
        """The latest answer, however old; None before the first."""
        return self._answer and self._answer[1]

    async def get(self, *, oldest_seconds: float = math.inf) -> T:
        """Return the answer: never one that was older than `oldest_seconds` when this question began.

        Raises what `ask` raises: an old answer stands in for one that is under way, and not after an error.
        """
        wanted_at = self._clock()
        if self._answer and self._age() <= min(self._fresh, oldest_seconds):
            return self._answer[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._renew())
            self._asking.add_done_callback(_look_at_error)
        asking = self._asking
        if self._answer and not self._failed and self._age() <= min(self._stale, oldest_seconds):
            await asyncio.wait([asking], timeout=self._patience)
            if not asking.done():
                return self._answer[1]
        answer = await asyncio.shield(asking)
        if self._answer and wanted_at - self._answer[0] > oldest_seconds:  # it was under way for too long already
            return await self.get(oldest_seconds=oldest_seconds)
        return answer

    async def close(self) -> None:
        """End a question that is under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _age(self) -> float:
        return self._clock() - self._answer[0] if self._answer else float("inf")

    async def _renew(self) -> T:
        began = self._clock()
        try:
            answer = await self._ask()
        except Exception:
            self._failed = True
            raise
        self._answer, self._failed = (began, answer), False
        return answer


class MadeOfLatest(Generic[T]):
    """Remembers what was made of the latest answer, by a key. Of an answer before, nothing is kept."""

    def __init__(self) -> None:
        self._answer: object = None
        self._made: dict[Hashable, T] = {}

    def get(self, answer: object, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` made of this very answer for this key."""
        if answer is not self._answer:
            self._answer, self._made = answer, {}
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _look_at_error(task: asyncio.Task[T]) -> None:
    """Take note of an error that nobody waits for any more: whoever asks next asks again."""
    if not task.cancelled():
        task.exception()
