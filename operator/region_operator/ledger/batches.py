"""Gives statements as many items at once as the database can answer in time.

A statement that the database cancelled would be cancelled again with the same items. So a cancelled statement halves
the batch, and a statement that was quick doubles the batch. The statements themselves are left to the queries.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from psycopg import errors
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

MOST = 10_000
"""The most items of one statement."""

FEWEST = 50
"""With so few items, a cancelled statement is an error: the number of items was not the cause."""

STATEMENT_SECONDS = 10
"""The time limit of a statement of a batch. A pass of the ledger has time for several halvings."""

QUICK_SECONDS = STATEMENT_SECONDS / 4
"""A statement that takes less time may have twice the items."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches:
    """Remembers how many items a statement may have: at first `most`, never more. `clock` returns seconds."""

    def __init__(self, most: int = MOST, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self.size = most

    async def run(
        self, items: Sequence[Item], ask: Callable[[Sequence[Item]], Awaitable[Iterable[Answer]]]
    ) -> list[Answer]:
        """Call `ask` with batch after batch, and return all answers in order.

        A batch that the database cancelled is asked again in halves. A caller that is cancelled leaves half the size to
        the next call. Raises what `ask` raises, and the cancellation (psycopg.errors.QueryCanceled as the `orig` of a
        sqlalchemy.exc.DBAPIError) of a batch of FEWEST items.
        """
        answers: list[Answer] = []
        done = 0
        while done < len(items):
            batch = items[done : done + self.size]
            started = self._clock()
            try:
                answers += await ask(batch)
            except DBAPIError as error:
                if not isinstance(error.orig, errors.QueryCanceled) or len(batch) <= FEWEST:
                    raise
                self._halve(len(batch))
                continue
            except asyncio.CancelledError:
                self._halve(len(batch))
                raise
            done += len(batch)
            if len(batch) == self.size and self._clock() - started < QUICK_SECONDS:
                self.size = min(self._most, self.size * 2)
        return answers

    def _halve(self, size: int) -> None:
        self.size = min(self.size, max(FEWEST, size // 2))
