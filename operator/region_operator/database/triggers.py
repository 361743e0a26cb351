"""Keeping the trigger on the table of regions: looked for at each reading, made where it is missing.

Without it edits show at the refresh interval, so it is worth an effort and no harm: one that somebody disabled is left
so, and what was refused is not asked for again at once, since whoever writes to the table would queue behind that.
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

_REMEDIES = {
    Trigger.DISABLED: f"ALTER TABLE {{table}} ENABLE TRIGGER {TRIGGER}, unless it is so on purpose",
    Trigger.MISSING: "leave MIGRATE on, or make the trigger by hand",
    Trigger.NO_TABLE: f"a trigger that executes {TRIGGER}'s function on what the view shows",
    Trigger.REFUSED: "GRANT TRIGGER ON {table} TO the operator's role; where it has that, see who locks the table",
}


class Triggers:
    """What was last said of the trigger, and when it may be asked for again, of one table at a time."""

    def __init__(self, *, may_make: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._may_make = may_make
        self._clock = clock
        self._table = ""
        self._said: Trigger | None = None
        self._again_at = -math.inf

    async def keep(self, engine: AsyncEngine, *, schema: str, table: str, found: Trigger) -> Trigger:
        """Make the trigger where `found` says that it is missing; log what is another state than before.

        Returns the state then. Raises what SQLAlchemy raises where the database is away.
        """
        name = f"{schema}.{table}"
        if name != self._table:
            self._table, self._said, self._again_at = name, None, -math.inf
        if found is Trigger.MISSING and self._may_make:
            found = await self._make(engine, schema=schema, table=table)
        if found is not self._said:
            self._tell(found)
        self._said = found
        return found

    async def _make(self, engine: AsyncEngine, *, schema: str, table: str) -> Trigger:
        if self._clock() < self._again_at:
            return Trigger.REFUSED
        async with transaction(engine, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS) as connection:
            made = await ensure_trigger(connection, schema=schema, table=table)
        if made is Trigger.REFUSED:
            self._again_at = self._clock() + REFUSED_FOR_SECONDS
        return made

    def _tell(self, now: Trigger) -> None:
        extra = {"table": self._table}
        if now is Trigger.CREATED:
            log.info("trigger created", extra=extra)
        elif now is Trigger.FOUND:
            if self._said not in (None, Trigger.CREATED):
                log.info("trigger found", extra=extra)
        else:
            extra |= {"reason": now, "effect": "edits show at the refresh interval"}
            log.warning("no trigger", extra=extra | {"remedy": _REMEDIES[now].format(table=self._table)})
