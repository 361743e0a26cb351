"""The transactions in which a handler's effects become real, fenced by the attempt that makes them.

A transaction's last statement before COMMIT locks the tick's row, and finds it only while the attempt holds its lease.
So a take-over comes before that statement, which then finds nothing, or waits until the effects are there for the next
attempt to see: no effect is of a stale attempt. But an attempt may die between its effects and its row, and the next
one makes them again, unless both were committed together, which is what `finish` is for.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from region_tick.contract import State
from region_tick.fence import Ending, finish_within, guard_within
from region_tick.handlers import LeaseLostError, Outcome
from region_tick.session import IDLE_SECONDS, bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_tick.claim import Claimed


class Effects:
    """What stands behind `Tick.transaction` and `Tick.finish`, for one attempt on one connection."""

    def __init__(
        self, connection: psycopg.Connection, claimed: Claimed, *, job_name: str, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self.finished: Ending | None = None
        """How the tick ended, once that is committed together with effects."""
        self.finishing = False
        """Whether that is committed, or may be at any moment: from the row's end on, unless it is rolled back."""
        self._connection, self._claimed, self._job_name = connection, claimed, job_name
        self._idle_seconds = idle_seconds
        self._inside = False
        self._outcome: Outcome | None = None

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Yield the connection in a transaction that is committed only if the attempt holds its lease then.

        Raises LeaseLostError, psycopg.ProgrammingError inside another transaction, and other psycopg.Errors.
        """
        if self._connection.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
            raise psycopg.ProgrammingError(
                "tick.transaction() was called inside another transaction, with which its effects would be committed "
                "unguarded: end that one first; for a savepoint, call tick.connection.transaction()"
            )
        self._inside, self._outcome = True, None
        ending: Ending | None = None
        try:
            with self._connection.transaction():
                bound(self._connection, idle_seconds=self._idle_seconds)
                yield self._connection
                ending = self._guard()
            self.finished = ending
        finally:
            self._inside, self.finishing = False, self.finished is not None

    def finish(self, outcome: Outcome) -> None:
        """Have the tick's row finished by the transaction that is open.

        Raises psycopg.ProgrammingError outside of transaction().
        """
        if not self._inside:
            raise psycopg.ProgrammingError(
                "tick.finish() was called outside of tick.transaction(): call it inside, or return the Outcome"
            )
        self._outcome = outcome

    def _guard(self) -> Ending | None:
        """Lock the tick's row for the rest of the transaction; write and return its ending, if it is to end."""
        ending: Ending | None = None
        if self._outcome is None:
            held = guard_within(self._connection, self._claimed)
        else:
            ending = Ending(state=State.SUCCEEDED, reason=self._outcome.reason, counts=self._outcome.counts)
            self.finishing = True
            held = finish_within(self._connection, self._claimed, ending, job_name=self._job_name)
        if not held:
            raise LeaseLostError(
                f"attempt {self._claimed.attempt} does not hold the tick any more: its transaction was rolled back"
            )
        return ending
