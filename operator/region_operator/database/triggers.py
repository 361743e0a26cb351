"""Keeps the triggers on the table of regions: makes missing triggers, logs their state when it changes, and says which
notifications concern the table.

Without the triggers, edits show only at the refresh interval. So the operator tries to make them, but must not hold up
anybody's writes. A trigger that somebody disabled stays disabled. After a refusal the next try waits for
REFUSED_FOR_SECONDS, because every reader and writer of the table queues behind a try. Finding the triggers' state is
left to `regions.source` and `region_table`.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from region_operator.database.engine import transaction
from region_operator.database.region_table import Trigger, ensure_trigger
from region_operator.database.row_trigger import STATEMENT_FUNCTION, STATEMENT_TRIGGER
from region_tick.contract import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.scheduler import Columns

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 1
REFUSED_FOR_SECONDS = 300
"""How long no further try is made after a refusal."""


def _by_hand(table: str, *, name: str = STATEMENT_TRIGGER) -> str:
    return (
        f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.{STATEMENT_FUNCTION}()"
    )


_REMEDIES = {
    Trigger.PARTIAL: "keep the rows in {table} itself: a table that inherits from it, a foreign partition and a virtual"
    " generated column fire no trigger of {table}; for rows that logical replication writes, ALTER TABLE {table} ENABLE"
    " ALWAYS TRIGGER for each of the triggers that \\d {table} lists",
    Trigger.DISABLED: "ALTER TABLE {table} ENABLE TRIGGER, the one that \\d {table} lists as disabled, unless it is so"
    " on purpose",
    Trigger.MISSING: "leave MIGRATE on, or " + _by_hand("{table}"),
    Trigger.UNMAPPED: "name the columns of {table} in spec.source.columns",
    Trigger.NO_TABLE: "on each table that the view shows: " + _by_hand("TABLE", name="region_tick_by_hand"),
    Trigger.REFUSED: f"GRANT TRIGGER ON {{table}}, and CREATE ON SCHEMA {SCHEMA}, TO the operator's role; where it has"
    " both, see who locks the table",
}

_TOLD_BY_OTHERS = (None, Trigger.NO_TABLE, Trigger.PARTIAL)
"""The states in which a notification may name another table although it concerns ours: a table below a view, or a table
that inherits. None is the time before the state is known.
"""


class Triggers:
    """Keeps the triggers of one table at a time, and remembers the logged state and the time of the next try.

    `may_make` says whether this process may make triggers. `clock` returns seconds. `version` is the table's version at
    the last reading (`table_version`).
    """

    def __init__(self, *, may_make: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._may_make = may_make
        self._clock = clock
        self._followed: tuple[str, str] | None = None
        self.version: str | None = None
        self._logged: Trigger | None = None
        self._next_try_at = -math.inf

    @property
    def followed(self) -> tuple[str, str] | None:
        """The schema and the name of the table that is read, None before the first reading."""
        return self._followed

    @property
    def fire(self) -> bool:
        """Whether every edit of the followed table causes a notification, as far as the last `keep` knows."""
        return self._logged is not None and self._logged.fires

    @property
    def problem(self) -> str:
        """Why not every edit causes a notification, and the remedy. "" if every edit does, or before the first look."""
        if self._logged is None or self._logged.fires:
            return ""
        return f"not every edit of {self._name} is surely told of ({self._logged}): {self._remedy(self._logged)}"

    def follow(self, *, schema: str, table: str) -> None:
        """Say which table is about to be read. Until `keep`, every notification may concern the table."""
        if (schema, table) != self._followed:
            self._followed, self._logged, self._next_try_at = (schema, table), None, -math.inf
            self.version = None

    def concerns(self, payload: str) -> bool:
        """Tell whether a notification may tell of the followed table. A payload that names no table may."""
        return payload == self._name or "." not in payload or self._logged in _TOLD_BY_OTHERS

    async def keep(
        self, engine: AsyncEngine, *, columns: Columns, found: Trigger, version: str | None, make: bool = True
    ) -> Trigger:
        """Make the followed table's missing triggers, unless `make` is false; log a new state; return the state.

        `found` and `version` are the state of the triggers and of the table at the reading. Raises
        sqlalchemy.exc.SQLAlchemyError and TimeoutError if the database is away.
        """
        self.version = version
        if found in (Trigger.MISSING, Trigger.STATEMENT) and self._may_make and make and self._followed:
            schema, table = self._followed
            found = await self._make(engine, schema=schema, table=table, columns=columns, found=found)
        if found is not self._logged:
            self._log_state(found)
        self._logged = found
        return found

    async def _make(self, engine: AsyncEngine, *, schema: str, table: str, columns: Columns, found: Trigger) -> Trigger:
        if self._clock() < self._next_try_at:
            return found if found.fires else Trigger.REFUSED
        async with transaction(engine, lock_timeout_seconds=LOCK_TIMEOUT_SECONDS) as connection:
            made = await ensure_trigger(connection, schema=schema, table=table, columns=columns)
        if made in (Trigger.REFUSED, Trigger.STATEMENT):
            self._next_try_at = self._clock() + REFUSED_FOR_SECONDS
        return made

    def _log_state(self, state: Trigger) -> None:
        extra = {"table": self._name}
        if state is Trigger.CREATED:
            log.info("trigger created", extra=extra)
        elif state.fires:
            if self._logged not in (None, Trigger.CREATED):
                log.info("trigger found", extra=extra)
        else:
            extra |= {"reason": state, "effect": "edits show at the refresh interval"}
            log.warning("no trigger", extra=extra | {"remedy": self._remedy(state)})

    def _remedy(self, state: Trigger) -> str:
        return _REMEDIES[state].format(table=self._name)

    @property
    def _name(self) -> str:
        return ".".join(self._followed or ())
