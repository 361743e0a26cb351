"""Keeps the trigger on the table of regions: makes a missing trigger, and logs the trigger's state when it changes.

Without the trigger, edits show only at the refresh interval. So the operator tries to make the trigger, but must not
hold up anybody's writes. A trigger that somebody disabled stays disabled. After a refusal the next try waits for
REFUSED_FOR_SECONDS, because every writer of the table queues behind a try. Finding the trigger's state is left to
`regions.source` and `region_table`.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from region_operator.database.engine import transaction
from region_operator.database.region_table import TRIGGER, Trigger, ensure_trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 1
REFUSED_FOR_SECONDS = 300
"""How long no further try is made after a refusal."""

_REMEDIES = {
    Trigger.DISABLED: f"ALTER TABLE {{table}} ENABLE TRIGGER {TRIGGER}, unless it is so on purpose",
    Trigger.MISSING: "leave MIGRATE on, or make the trigger by hand",
    Trigger.NO_TABLE: f"a trigger that executes {TRIGGER}'s function on what the view shows",
    Trigger.REFUSED: "GRANT TRIGGER ON {table} TO the operator's role; where it has that, see who locks the table",
}


class Triggers:
    """Keeps the trigger of one table at a time, and remembers the logged state and the time of the next try.

    `may_make` says whether this process may make triggers. `clock` returns seconds.
    """

    def __init__(self, *, may_make: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._may_make = may_make
        self._clock = clock
        self._table = ""
        self._logged: Trigger | None = None
        self._next_try_at = -math.inf

    async def keep(self, engine: AsyncEngine, *, schema: str, table: str, found: Trigger) -> Trigger:
        """Make the trigger if the state `found` is missing; log a state that differs from the last; return the state.

        Raises sqlalchemy.exc.SQLAlchemyError and TimeoutError if the database is away.
        """
        name = f"{schema}.{table}"
        if name != self._table:
            self._table, self._logged, self._next_try_at = name, None, -math.inf
        if found is Trigger.MISSING and self._may_make:
            found = await self._make(engine, schema=schema, table=table)
        if found is not self._logged:
            self._log_state(found)
        self._logged = found
        return found

    async def _make(self, engine: AsyncEngine, *, schema: str, table: str) -> Trigger:
        if self._clock() < self._next_try_at:
            return Trigger.REFUSED
        async with transaction(engine, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS) as connection:
            made = await ensure_trigger(connection, schema=schema, table=table)
        if made is Trigger.REFUSED:
            self._next_try_at = self._clock() + REFUSED_FOR_SECONDS
        return made

    def _log_state(self, state: Trigger) -> None:
        extra = {"table": self._table}
        if state is Trigger.CREATED:
            log.info("trigger created", extra=extra)
        elif state is Trigger.FOUND:
            if self._logged not in (None, Trigger.CREATED):
                log.info("trigger found", extra=extra)
        else:
            extra |= {"reason": state, "effect": "edits show at the refresh interval"}
            log.warning("no trigger", extra=extra | {"remedy": _REMEDIES[state].format(table=self._table)})
