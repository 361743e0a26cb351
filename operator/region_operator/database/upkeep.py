"""Keeps our tables in order day by day: makes the coming days' partitions of job_run, forgets old days and old items,
builds missing indexes.

All goes by the database's clock, because the rows do. This process's wall clock plays no part. Forgetting and building
may take minutes, so they run beside the reconciles, one after the other, once a day of this process. While the
database's clock and the API server's are far apart, one of the two is wrong, and nothing is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from region_operator.database.engine import transaction
from region_operator.database.indexes import build_indexes
from region_operator.database.item_retention import forget_items, forget_orphans
from region_operator.database.partitions import ensure_partitions
from region_operator.database.retention import forget, is_passing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import date, datetime, timedelta

    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.database.retention import OldDay
    from region_operator.runtime.remote_clock import Skew

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
PASSING_FOR_SECONDS = 300
"""How long to wait before the next try, because each try makes all ticks queue up for a second."""

TRUSTED_SKEW_SECONDS = 3600
"""By how much the database's clock may differ from the API server's before nothing is forgotten."""


class Upkeep:
    """The upkeep of one database. `clock` returns monotonic seconds. Without `item_retention`, items stay."""

    def __init__(
        self,
        *,
        retention: timedelta,
        may_build: bool,
        clock: Callable[[], float],
        item_retention: timedelta | None = None,
    ) -> None:
        self._retention, self._item_retention = retention, item_retention
        self._may_build = may_build
        self._clock = clock
        self._partitioned: date | None = None
        self._forget_from = self._build_from = -math.inf
        self._working: asyncio.Task[None] | None = None

    async def make_partitions(self, engine: AsyncEngine, today: date) -> None:
        """Make the partitions of `today` and the coming days, once a day. Raises DBAPIError if the database is away."""
        if self._partitioned == today:
            return
        try:
            async with transaction(engine) as connection:
                await ensure_partitions(connection, today)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            # A read-only server, a missing right, a lock: the default partition catches the rows meanwhile.
            remedy = "run `region-operator migrate` once a week, where this does not pass"
            log.warning("no partitions", extra={"remedy": remedy, "error": str(error.orig)})
        self._partitioned = today

    def begin(self, engine: AsyncEngine, now: datetime, skew: Skew | None) -> None:
        """Begin to forget and to build, if due and not under way. `now` is the database's time (UTC), `skew` says how
        far that is ahead of the API server's, None if nobody knows.
        """
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(engine, now, skew))

    async def stop(self) -> None:
        """Stop, and wait for the end. What is cut off is done anew after the next `begin`."""
        working, self._working, self._partitioned = self._working, None, None
        self._forget_from = self._build_from = -math.inf
        if working is not None:
            working.cancel()
            await asyncio.wait([working])

    async def _work(self, engine: AsyncEngine, now: datetime, skew: Skew | None) -> None:
        if self._clock() >= self._forget_from:
            self._forget_from = self._clock() + DAY_SECONDS
            wait = await _forget(engine, (now - self._retention).date(), skew)
            if not _is_untrusted(skew):
                await _forget_items(engine, now, self._item_retention)
            self._forget_from = self._clock() + wait
        if self._may_build and self._clock() >= self._build_from:
            self._build_from = self._clock() + DAY_SECONDS
            await _build(engine)


async def _forget(engine: AsyncEngine, before: date, skew: Skew | None) -> float:
    """Forget the days before `before`, a few. Return after how many seconds to try again."""
    if skew is not None and _is_untrusted(skew):
        reason = f"the database's clock and the API server's are {abs(skew.seconds):.0f} s apart"
        log.warning("nothing forgotten", extra={"remedy": "set the clocks right", "reason": reason})
        return PASSING_FOR_SECONDS * 12
    try:
        forgotten = await forget(engine, before=before)
    except (SQLAlchemyError, TimeoutError, OSError) as error:
        words = str(error.orig) if isinstance(error, DBAPIError) else repr(error)
        if is_passing(error):
            log.info("not forgotten yet", extra={"reason": words})
            return PASSING_FOR_SECONDS
        remedy = (
            "let the operator's role own the tables of schema region_tick, or run `region-operator retention --now`"
        )
        log.warning("nothing forgotten", extra={"remedy": remedy, "reason": words})
        return DAY_SECONDS
    if forgotten.dropped or forgotten.kept:
        dropped, kept, waiting = map(_texts, (forgotten.dropped, forgotten.kept, forgotten.waiting))
        log.info("forgotten", extra={"dropped": dropped, "kept": kept, "waiting": waiting})
    return DAY_SECONDS


async def _forget_items(engine: AsyncEngine, now: datetime, retention: timedelta | None) -> None:
    """Forget old items, and upstreams without creators. What cannot be done now is done the next time."""
    items = 0 if retention is None else await _count(forget_items(engine, before=now - retention))
    upstreams = await _count(forget_orphans(engine, now=now))
    if items or upstreams:
        log.info("items forgotten", extra={"items": items, "upstreams": upstreams})


async def _count(forgetting: Awaitable[int]) -> int:
    """Return how many rows were forgotten, 0 if that failed: one kind of row does not keep the other."""
    try:
        return await forgetting
    except (SQLAlchemyError, TimeoutError, OSError) as error:
        remedy = "let the operator's role own the tables of schema region_tick, or run `region-operator grants`"
        log.warning("items not forgotten", extra={"remedy": remedy, "reason": str(error) or "it took too long"})
        return 0


def _is_untrusted(skew: Skew | None) -> bool:
    return skew is not None and skew.at_least > TRUSTED_SKEW_SECONDS


def _texts(days: Sequence[OldDay]) -> list[str]:
    return [str(day) for day in days]


async def _build(engine: AsyncEngine) -> None:
    try:
        built = await build_indexes(engine)
    except (SQLAlchemyError, TimeoutError, OSError) as error:
        remedy = "run `region-operator migrate` with the role that owns the tables of schema region_tick"
        log.warning("indexes not built", extra={"remedy": remedy, "error": str(error) or "it took too long"})
    else:
        if built:
            log.info("indexes built", extra={"indexes": built})
