"""Runs the transactions with a handler's effects, and commits each one only while the attempt holds the tick.

The last statement before COMMIT is the guard: the guard locks the tick's row, and finds the row only while the attempt
has a valid lease. A take-over before the guard makes the guard find no row, and the transaction is rolled back. A
take-over after the guard waits for the COMMIT, and the next attempt sees the effects. A stale attempt therefore has no
effect.

An attempt may still die after its effects and before its final row, and the next attempt then repeats the effects.
`Effects.finish` prevents a repetition: effects and final row commit together.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import TransactionStatus

from region_tick.contract import State
from region_tick.fence import Ending, finish_within, guard_within, is_within
from region_tick.handlers import LeaseLostError, Outcome, PermanentError
from region_tick.session import IDLE_SECONDS, bound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from region_tick.claim import Claimed

WITHOUT_LIMITS = (
    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
)
_ENDED = (
    "SQL inside of tick.transaction() ended the transaction (COMMIT or ROLLBACK), so its effects were not guarded, and "
    "a COMMIT made them permanent: take that SQL out, tick.transaction() commits at its end"
)


class MisuseError(PermanentError, psycopg.ProgrammingError):
    """A handler used its transactions in a way that would break their promise. The message says what to do instead."""


class Effects:
    """Implements `Tick.transaction` and `Tick.finish` for one attempt on one connection.

    `depth` is how many transactions of the caller's are open on the connection and hold everything: 0 but for a dry
    run.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        claimed: Claimed,
        *,
        idle_seconds: float = IDLE_SECONDS,
        depth: int = 0,
    ) -> None:
        self.finished: Ending | None = None
        """How the tick ended, once the ending is committed together with effects."""
        self.finishing = False
        """Whether an ending is committed or may be committed at any moment: from the final row's UPDATE on, until a
        rollback.
        """
        self._connection, self._claimed, self._idle_seconds = connection, claimed, idle_seconds
        self._depth = depth
        self._in_transaction = False
        self._outcome: Outcome | None = None

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Yield the connection in a transaction, and commit the transaction only if the attempt still holds its lease.

        Raises LeaseLostError; MisuseError inside another transaction, or if SQL of the block ended the transaction;
        psycopg.Error.
        """
        if self._in_transaction or not self._is_free():
            raise MisuseError(
                "tick.transaction() was called inside another transaction, with which its effects would be committed "
                "unguarded: end that one first; for a savepoint, call tick.connection.transaction()"
            )
        self._in_transaction, self._outcome = True, None
        ending: Ending | None = None
        try:
            with self._connection.transaction():
                _, begun = bound(self._connection, idle_seconds=self._idle_seconds)
                yield self._connection
                ending = self._guard(begun)
                if self._depth:
                    self._connection.execute(WITHOUT_LIMITS)  # in a pod, the transaction's end takes its limits back
            self.finished = ending
        finally:
            self._in_transaction, self.finishing = False, self.finished is not None

    def finish(self, outcome: Outcome) -> None:
        """Let the open transaction write the tick's final row.

        Raises MisuseError outside of transaction() and inside a savepoint, PermanentError for a fetched_until that is
        outside of the tick's window.
        """
        if not self._in_transaction:
            raise MisuseError(
                "tick.finish() was called outside of tick.transaction(): call it inside, or return the Outcome"
            )
        if _open_transactions(self._connection) > self._depth + 1:
            raise MisuseError(
                "tick.finish() was called inside connection.transaction(), a savepoint, whose rollback would not take "
                "the tick's end back: call it as the last step of tick.transaction() itself"
            )
        outcome.check_within(self._claimed.window)
        self._outcome = outcome

    def _is_free(self) -> bool:
        """Tell whether no transaction is open on the connection but those of `depth`."""
        if self._depth:
            return _open_transactions(self._connection) == self._depth
        return self._connection.info.transaction_status in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

    def _guard(self, begun: datetime) -> Ending | None:
        """Lock the tick's row for the rest of the transaction, which began at `begun`.

        If `finish` was called, write and return the ending.

        Raises LeaseLostError, MisuseError.
        """
        ending: Ending | None = None
        if self._connection.info.transaction_status is TransactionStatus.IDLE:
            raise MisuseError(_ENDED)
        if self._outcome is None:
            held = guard_within(self._connection, self._claimed, begun=begun)
        else:
            ending = Ending(
                state=State.SUCCEEDED,
                reason=self._outcome.reason,
                counts=self._outcome.counts,
                fetched_until=self._outcome.fetched_until,
            )
            self.finishing = True
            held = finish_within(self._connection, self._claimed, ending, begun=begun)
        if not held and not is_within(self._connection, begun):
            raise MisuseError(_ENDED)
        if not held:
            raise LeaseLostError(
                f"attempt {self._claimed.attempt} does not hold the tick any more: its transaction was rolled back"
            )
        return ending


def _open_transactions(connection: psycopg.Connection) -> int:
    """Return how many blocks of connection.transaction() are open: psycopg's own count, which has no public name."""
    return connection._num_transactions
