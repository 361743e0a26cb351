"""What an attempt writes about its tick: renewals of its lease, the guard of its effects, and its end.

Every statement names the attempt, which is the fencing token, and needs a lease that holds. So whatever a stale attempt
still writes finds no row and is refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from region_tick.session import bound, cursor, notify, storable
from region_tick.statements import FINISH, FINISHED, GUARD, RENEW

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from region_tick.claim import Claimed
    from region_tick.contract import State

_ERROR_MESSAGE_LIMIT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended: what its row will say."""

    state: State
    reason: str
    counts: Mapping[str, int] = field(default_factory=dict)
    error: BaseException | None = None


def renew(connection: psycopg.Connection, claimed: Claimed, *, lease_seconds: float) -> bool:
    """Renew the lease for `lease_seconds` from now; False where it is lost. Raises psycopg.Error."""
    with connection.transaction():
        bound(connection)
        return cursor(connection).execute(RENEW, _fence(claimed) | {"lease_seconds": lease_seconds}).rowcount == 1


def finish(connection: psycopg.Connection, claimed: Claimed, ending: Ending, *, job_name: str) -> bool:
    """Write how the attempt ended, end its lease and tell who listens; False, nothing written, where the lease is lost.

    A success carries the region's cursor on to the end of its window, never back: ticks of one region can overlap, and
    an older one may end last. Nor over a gap, where somebody set the cursor back meanwhile. Raises psycopg.Error.
    """
    with connection.transaction():
        bound(connection)
        return finish_within(connection, claimed, ending, job_name=job_name)


def finish_within(connection: psycopg.Connection, claimed: Claimed, ending: Ending, *, job_name: str) -> bool:
    """Do as `finish` does in the caller's transaction. From here to its end nobody can take the tick over.

    Raises psycopg.Error.
    """
    parameters = _fence(claimed) | {
        "state": ending.state,
        "reason": storable(ending.reason),
        "counts": _counts(ending.counts) if ending.counts else None,
        "error_class": _class(ending.error) if ending.error else None,
        "error_message": _message(ending.error) if ending.error else None,
    }
    written = cursor(connection).execute(FINISH, parameters).rowcount == 1
    if written:
        notify(connection, job_name)
    return written


def is_finished(connection: psycopg.Connection, claimed: Claimed, ending: Ending) -> bool:
    """Tell whether the attempt's row says this very ending. Raises psycopg.Error."""
    parameters = _fence(claimed) | {"state": ending.state, "reason": storable(ending.reason)}
    with connection.transaction():
        bound(connection)
        return cursor(connection).execute(FINISHED, parameters).rowcount == 1


def guard_within(connection: psycopg.Connection, claimed: Claimed) -> bool:
    """Tell whether the lease holds; if so, nobody can take the tick over before the end of the caller's transaction.

    Raises psycopg.Error.
    """
    return cursor(connection).execute(GUARD, _fence(claimed)).rowcount == 1


def _fence(claimed: Claimed) -> dict[str, Any]:
    return asdict(claimed.key) | {"attempt": claimed.attempt}


def _class(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _counts(counts: Mapping[str, int]) -> str:
    return json.dumps({storable(name): count for name, count in counts.items()})


def _message(error: BaseException) -> str:
    return storable(str(error))[:_ERROR_MESSAGE_LIMIT]
