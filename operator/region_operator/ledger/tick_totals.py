"""Counts the ticks that ended, for metrics and console: each ending once, whoever wrote the row.

The leader marks ended rows of job_run as counted and adds them to region_tick.tick_total, and to their hour in
region_tick.tick_hour, in one transaction. So a crash neither loses nor repeats a tick, nor does another leader. A row
that is opened again must be marked as not counted, and its next ending counts again: the totals only grow. A tick pays
nothing for the count. The ticks of suspended regions have no rows; `add_suspended` counts them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import text

from region_operator.database.engine import transaction
from region_operator.ledger.batches import STATEMENT_SECONDS
from region_operator.regions.slots import slot_in_sql
from region_operator.runtime.tick_metrics import DELAY_BOUNDS, DURATION_BOUNDS, TICKS, Spread, TickTotal
from region_tick.contract import Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

OTHER = "other"
"""Stands for every reason that a handler made up: there may be as many of them as ticks, and of any length."""

_KNOWN = frozenset({"", *Reason})

Ending: TypeAlias = tuple[str, str, str, float | None, float | None]
"""Of a row: source, state, reason, the seconds from the minute to the claim, the seconds from the claim to the end."""

_SLOTS = text("""
SELECT source, array_agg(slot) AS slots FROM region_tick.slot_owner WHERE installation = :installation GROUP BY source
""")

_UNCOUNTED = f"""
run.source = :source AND NOT run.counted AND run.state IN ('succeeded', 'failed', 'skipped', 'missed')
    AND {slot_in_sql("run.region_id")} = ANY(CAST(:slots AS integer[]))
"""

_OLDEST = text(f"SELECT min(run.tick_at) FROM region_tick.job_run AS run WHERE {_UNCOUNTED}")  # noqa: S608 - constants

_MARK = text(f"""
UPDATE region_tick.job_run AS run SET counted = true
WHERE {_UNCOUNTED} AND run.tick_at >= :first AND run.tick_at < CAST(:first AS timestamptz) + interval '1 minute'
RETURNING run.source, run.state, coalesce(run.reason, ''),
    CASE WHEN run.manual_uid = '' THEN extract(epoch FROM run.started_at - run.tick_at)::double precision END,
    extract(epoch FROM run.finished_at - run.started_at)::double precision
""")  # noqa: S608 - constants
"""No join: on a day that was not analyzed yet, the planner compared every row with every other."""

_ADD = text("""
INSERT INTO region_tick.tick_total AS known
    (source, installation, state, reason, ticks, delays, delay_seconds, durations, duration_seconds)
VALUES (:source, :installation, :state, :reason, :ticks,
    CAST(:delays AS bigint[]), :delay_seconds, CAST(:durations AS bigint[]), :duration_seconds)
ON CONFLICT (source, installation, state, reason) DO UPDATE SET
    ticks = known.ticks + excluded.ticks,
    delays = ARRAY(SELECT one + another FROM unnest(known.delays, excluded.delays)
        WITH ORDINALITY AS bucket (one, another, place) ORDER BY place),
    delay_seconds = known.delay_seconds + excluded.delay_seconds,
    durations = ARRAY(SELECT one + another FROM unnest(known.durations, excluded.durations)
        WITH ORDINALITY AS bucket (one, another, place) ORDER BY place),
    duration_seconds = known.duration_seconds + excluded.duration_seconds
""")

_ADD_TO_HOUR = text("""
INSERT INTO region_tick.tick_hour AS known (source, installation, hour, state, reason, ticks)
VALUES (:source, :installation,
    date_trunc('hour', coalesce(CAST(:minute AS timestamptz), clock_timestamp()), 'UTC'), :state, :reason, :ticks)
ON CONFLICT (source, installation, hour, state, reason) DO UPDATE SET ticks = known.ticks + excluded.ticks
""")

_READ = text("""
SELECT state, reason, ticks, delays, delay_seconds, durations, duration_seconds
FROM region_tick.tick_total WHERE installation = :installation
""")


class TickCounter:
    """Counts the ticks that ended in the slots that one installation owns in one database, and shows all totals."""

    def __init__(self, engine: AsyncEngine, *, installation: str) -> None:
        self._engine, self._installation = engine, installation

    async def count(self) -> None:
        """Count, and serve the new totals. Raises sqlalchemy.exc.SQLAlchemyError and TimeoutError."""
        await count_ended(self._engine, installation=self._installation)
        TICKS.show(await read_totals(self._engine, installation=self._installation))


async def count_ended(engine: AsyncEngine, *, installation: str) -> int:
    """Count the ticks that ended in the slots of `installation`; return how many.

    What was counted before an error stays. Raises sqlalchemy.exc.DBAPIError.
    """
    async with transaction(engine) as connection:
        owned = (await connection.execute(_SLOTS, {"installation": installation})).all()
    counted = 0
    for source, slots in owned:
        while ended := await _count_minute(engine, {"source": source, "slots": slots}, installation=installation):
            counted += ended
    return counted


async def _count_minute(engine: AsyncEngine, parameters: Mapping[str, Any], *, installation: str) -> int:
    """Count the ticks of the oldest minute that has ticks to count; return how many, 0 if all are counted."""
    async with transaction(engine, timeout_seconds=STATEMENT_SECONDS) as connection:
        first = (await connection.execute(_OLDEST, parameters)).scalar_one()
        if first is None:
            return 0
        marked = await connection.execute(_MARK, {**parameters, "first": first})
        endings: list[Ending] = [tuple(row) for row in marked]
        for source, totals in sum_up(endings).items():
            await _add(connection, source, totals, installation=installation, minute=first)
    return len(endings)


async def add_suspended(connection: AsyncConnection, source: str, ticks: int, *, installation: str) -> None:
    """Count ticks of suspended regions, in the transaction that counts the ticks in their suspensions."""
    none = _spread((), DELAY_BOUNDS), _spread((), DURATION_BOUNDS)
    if ticks:
        total = TickTotal(State.SKIPPED, Reason.SUSPENDED, ticks, *none)
        await _add(connection, source, [total], installation=installation, minute=None)


async def read_totals(engine: AsyncEngine, *, installation: str) -> list[TickTotal]:
    """Return the totals of all tables whose ticks `installation` counted. Raises sqlalchemy.exc.DBAPIError."""
    async with transaction(engine) as connection:
        rows = (await connection.execute(_READ, {"installation": installation})).all()
    return [
        TickTotal(
            state=row.state,
            reason=row.reason,
            ticks=row.ticks,
            delays=Spread(tuple(row.delays), row.delay_seconds),
            durations=Spread(tuple(row.durations), row.duration_seconds),
        )
        for row in rows
    ]


def sum_up(endings: Iterable[Ending]) -> dict[str, list[TickTotal]]:
    """Return the totals of some rows, by source. Pure."""
    groups: defaultdict[tuple[str, str, str], list[tuple[float | None, float | None]]] = defaultdict(list)
    for source, state, reason, delay, duration in endings:
        groups[source, state, reason if reason in _KNOWN else OTHER].append((delay, duration))
    totals: defaultdict[str, list[TickTotal]] = defaultdict(list)
    for (source, state, reason), seconds in sorted(groups.items()):
        totals[source].append(_total(state, reason, seconds))
    return totals


def _total(state: str, reason: str, seconds: Sequence[tuple[float | None, float | None]]) -> TickTotal:
    delays, durations = zip(*seconds, strict=True)
    spreads = _spread(delays, DELAY_BOUNDS), _spread(durations, DURATION_BOUNDS)
    return TickTotal(state, reason, len(seconds), *spreads)


def _spread(seconds: Iterable[float | None], bounds: Sequence[float]) -> Spread:
    """Sort seconds into buckets. A claim before its minute, by a clock that was set back, counts as no delay."""
    known = [max(0.0, each) for each in seconds if each is not None]
    buckets = [0] * (len(bounds) + 1)
    for each in known:
        buckets[bisect_left(bounds, each)] += 1
    return Spread(tuple(buckets), sum(known))


async def _add(
    connection: AsyncConnection,
    source: str,
    totals: Sequence[TickTotal],
    *,
    installation: str,
    minute: datetime | None,
) -> None:
    """Add totals of ticks of one minute; None: of several minutes, which count for the present hour."""
    rows = [
        {
            "source": source,
            "installation": installation,
            "minute": minute,
            "state": total.state,
            "reason": total.reason,
            "ticks": total.ticks,
            "delays": list(total.delays.buckets),
            "delay_seconds": total.delays.seconds,
            "durations": list(total.durations.buckets),
            "duration_seconds": total.durations.seconds,
        }
        for total in totals
    ]
    if rows:
        await connection.execute(_ADD, rows)
        await connection.execute(_ADD_TO_HOUR, rows)
