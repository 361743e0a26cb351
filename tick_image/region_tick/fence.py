"""Writes an attempt's changes to its job_run row: lease renewals, the guard of effects, and the ending.

Every statement names the attempt and its pod, which are the fencing token, and needs a valid lease. A stale attempt's
statement therefore finds no row and changes nothing. The number alone would not do: a promoted standby may lack the
claim of an attempt that goes on, and gives its number to the next one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from region_tick.contract import ExitCode
from region_tick.handlers import PermanentError
from region_tick.session import bound, cursor, storable
from region_tick.statements import FINISH, FINISHED, GUARD, RENEW

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import psycopg

    from region_tick.claim import Claimed
    from region_tick.contract import State

_ERROR_MESSAGE_LIMIT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended: the content of the attempt's row."""

    state: State
    reason: str
    counts: Mapping[str, int] = field(default_factory=dict)
    fetched_until: datetime | None = None
    """Up to when a success fetched, if not to the end of its window."""
    error: BaseException | None = None
    log_lines: str | None = None
    """What a failed attempt leaves of its log; None: nothing."""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the attempt's process."""
        if isinstance(self.error, PermanentError):
            return self.error.exit_code
        return ExitCode.AGAIN if self.error else ExitCode.FINAL


def renew(connection: psycopg.Connection, claimed: Claimed, *, lease_seconds: float) -> bool:
    """Renew the lease for `lease_seconds` from now; return False if the lease is lost. Raises psycopg.Error."""
    parameters = _fence_parameters(claimed) | {"lease_seconds": lease_seconds}
    with connection.transaction():
        bound(connection)
        return cursor(connection).execute(RENEW, parameters).rowcount == 1


def finish(connection: psycopg.Connection, claimed: Claimed, ending: Ending) -> bool:
    """Write how the attempt ended and end the lease, in one transaction.

    Return False, with nothing written, if the lease is lost.

    A success moves the region's cursor forward to the end of the tick's window, or to `fetched_until`. The cursor
    never moves back, because ticks of one region can overlap and an older tick may end last. The cursor never jumps
    over a gap either, if somebody set the cursor back in the meantime. A rerun leaves the cursor alone. Raises
    psycopg.Error.
    """
    with connection.transaction():
        bound(connection)
        return finish_within(connection, claimed, ending)


def finish_within(
    connection: psycopg.Connection, claimed: Claimed, ending: Ending, *, begun: datetime | None = None
) -> bool:
    """Do the work of `finish` inside the caller's transaction, if this is the one that began at `begun`.

    Until the end of the transaction, no other attempt can take the tick over. Raises psycopg.Error.
    """
    parameters = _fence_parameters(claimed) | {
        "begun": begun,
        "rerun": claimed.rerun,
        "state": ending.state,
        "reason": storable(ending.reason, connection),
        "counts": _counts_json(ending.counts, connection) if ending.counts else None,
        "fetched_until": ending.fetched_until,
        "exit_code": ending.exit_code if ending.exit_code in range(256) else None,  # the user's class may say anything
        "error_class": _class_name(ending.error) if ending.error else None,
        "error_message": _error_message(ending.error, connection) if ending.error else None,
        "log_lines": storable(ending.log_lines, connection) if ending.log_lines else None,
    }
    return cursor(connection).execute(FINISH, parameters).rowcount == 1


def is_finished(connection: psycopg.Connection, claimed: Claimed, ending: Ending) -> bool:
    """Tell whether the attempt's row already has this ending. Raises psycopg.Error."""
    parameters = _fence_parameters(claimed) | {"state": ending.state, "reason": storable(ending.reason, connection)}
    with connection.transaction():
        bound(connection)
        return cursor(connection).execute(FINISHED, parameters).rowcount == 1


def guard_within(connection: psycopg.Connection, claimed: Claimed, *, begun: datetime | None = None) -> bool:
    """Lock the tick's row inside the caller's transaction; return False if the lease is lost, or if this is not the
    transaction that began at `begun`.

    Until the end of the transaction, no other attempt can take a locked tick over. Raises psycopg.Error.
    """
    return cursor(connection).execute(GUARD, _fence_parameters(claimed) | {"begun": begun}).rowcount == 1


def is_within(connection: psycopg.Connection, begun: datetime) -> bool:
    """Tell whether the transaction is still the one that began at `begun`. Raises psycopg.Error."""
    row = cursor(connection).execute("SELECT pg_catalog.transaction_timestamp()").fetchone()
    return row is not None and row[0] == begun


def _fence_parameters(claimed: Claimed) -> dict[str, Any]:
    return asdict(claimed.key) | {"attempt": claimed.attempt, "pod": claimed.pod}


def _class_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _counts_json(counts: Mapping[str, int], connection: psycopg.Connection) -> str:
    """Return the counts as JSON without \\u escapes: Postgres refuses an escape that its encoding cannot hold."""
    storable_counts = {storable(name, connection): count for name, count in counts.items()}
    return json.dumps(storable_counts, ensure_ascii=False)


def _error_message(error: BaseException, connection: psycopg.Connection) -> str:
    from region_tick.redact import redact, secrets_of  # few ticks fail, and only those pay for the import

    message = redact(str(error), secrets_of(os.environ), _ERROR_MESSAGE_LIMIT)
    return storable(message, connection)[:_ERROR_MESSAGE_LIMIT]
