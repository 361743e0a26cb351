"""Keeps the forecast up to date: for the condition Overcommitted and for the metrics.

A forecast is computed in a thread, so that no forecast holds the event loop, and only if something changed: the
schedules, the spec, how long ticks take, or the hour. Forecasts get at most a twentieth of the time, however often the
table changes; until then the forecast before stands. A small change of how long ticks take changes no forecast, so an
idle operator writes nothing. Only the guard against speedups depends on a forecast, and gets one at once. After an
error, what was known before stands.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from region_operator.database.engine import first_line
from region_operator.ledger.tick_time import read_tick_time
from region_operator.plan.demand import DemandGroups, group_regions
from region_operator.plan.forecast import ASSUMED_TICK_TIME, Forecast, TickTime, make_forecast
from region_operator.plan.forecast_report import explain_overcommitment
from region_operator.plan.speedup_guard import guard_speedups, needs_forecast
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.source import Table
from region_operator.runtime import metrics
from region_operator.runtime.log_limiter import LogLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from region_operator.database.store import Database
    from region_operator.observe import Observation
    from region_operator.regions.schedule import Schedule
    from region_operator.scheduler import Scheduler, Spec

log = logging.getLogger(__name__)

Row: TypeAlias = RegionRow | Quarantined

MEASURE_EVERY_SECONDS = 600.0
NOTICEABLE_CHANGE = 1.25
"""By which factor how long ticks take must change to be worth another forecast."""
_SHARE = 20


async def forecast_now(database: Database, scheduler: Scheduler, rows: Sequence[Row]) -> Forecast:
    """Forecast once, from the present minute on, for a command. Our schema may be missing."""
    measured = await _measure(database, scheduler, LogLimiter())
    start = datetime.now(UTC).replace(second=0, microsecond=0)

    def forecast() -> Forecast:
        groups = _group(scheduler.spec, rows)
        return make_forecast(groups, scheduler.spec, tick_time=measured or ASSUMED_TICK_TIME, start=start)

    return await asyncio.to_thread(forecast)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """All that a forecast depends on. `rows` is a hash of what the rows say of schedules."""

    rows: int
    spec: Spec
    tick_time: TickTime
    start: datetime


class Forecaster:
    """Remembers the latest forecast. `clock` returns seconds for intervals, `now` the time in UTC."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._now = now
        self._rows: Sequence[Row] = ()
        self._written = 0
        self._inputs: _Inputs | None = None
        self._forecast: Forecast | None = None
        self._tick_time = ASSUMED_TICK_TIME
        self._measure_from = self._forecast_from = clock()
        self._measure_log, self._forecast_log = LogLimiter(), LogLimiter()

    async def explain_overcommitment(
        self, database: Database, scheduler: Scheduler, rows: Sequence[Row], *, at_once: bool = False
    ) -> str:
        """Return why the ticks of the next 24 hours do not fit, for people; "" if they fit.

        `rows` are all active rows. With `at_once` no older forecast will do, however much time forecasts took.
        Raises nothing but cancellation.
        """
        try:
            await self._measure_now_and_then(database, scheduler)
            if at_once or self._clock() >= self._forecast_from:
                await self._forecast_anew(scheduler.spec, rows)
        except Exception as error:
            if keys := self._forecast_log.record_failure(repr(error)):
                log.exception("not forecast", extra=keys)
        else:
            self._forecast_log.record_success()
        return explain_overcommitment(self._forecast) if self._forecast else ""

    async def guard_speedups(
        self, database: Database, scheduler: Scheduler, observation: Observation, *, now: datetime
    ) -> Observation:
        """Return the observation with what the guard against speedups decides, by a forecast if one is needed."""
        if not needs_forecast(observation.decision):
            return observation
        rows, approval = observation.rows, scheduler.approval
        overcommitted = bool(await self.explain_overcommitment(database, scheduler, rows, at_once=True))
        decision = guard_speedups(observation.decision, overcommitted=overcommitted, approval=approval, now=now)
        return observation.with_decision(decision)

    async def _forecast_anew(self, spec: Spec, rows: Sequence[Row]) -> None:
        began = self._clock()
        start = self._now().replace(minute=0, second=0, microsecond=0)
        await asyncio.to_thread(self._update, spec, rows, start)
        self._forecast_from = self._clock() + _SHARE * (self._clock() - began)
        if self._forecast:
            _set_metrics(self._forecast, spec)

    def _update(self, spec: Spec, rows: Sequence[Row], start: datetime) -> None:
        """Compute another forecast, unless the inputs are those of the forecast before. Runs in a thread."""
        if rows is not self._rows:
            self._rows = rows
            self._written = hash(frozenset((row.cron_schedule, row.code) for row in rows if isinstance(row, RegionRow)))
        inputs = _Inputs(self._written, spec, self._tick_time, start)
        if inputs != self._inputs:
            self._forecast = make_forecast(_group(spec, rows), spec, tick_time=self._tick_time, start=start)
            self._inputs = inputs

    async def _measure_now_and_then(self, database: Database, scheduler: Scheduler) -> None:
        """Read how long ticks take, if the last reading was a while ago. Keep what changed too little to matter."""
        if self._clock() < self._measure_from:
            return
        self._measure_from = self._clock() + MEASURE_EVERY_SECONDS
        measured = await _measure(database, scheduler, self._measure_log)
        if measured and not (self._tick_time.measured and _is_near(self._tick_time, measured)):
            self._tick_time = measured


def _group(spec: Spec, rows: Sequence[Row]) -> DemandGroups:
    """Group the regions that will tick: none while spec.suspend suspends all. spec.suspendUntil ends by itself."""
    return group_regions(() if spec.suspend else _schedules(rows), start_deadline=spec.tick.start_deadline)


def _schedules(rows: Sequence[Row]) -> Iterator[Schedule]:
    """Yield the schedules of the rows that can be scheduled."""
    for row in rows:
        if isinstance(row, RegionRow):
            with suppress(ScheduleError):
                yield parse_schedule(row.cron_schedule, code=row.code)


def _is_near(one: TickTime, other: TickTime) -> bool:
    factor = one.slot_seconds / other.slot_seconds
    return 1 / NOTICEABLE_CHANGE < factor < NOTICEABLE_CHANGE


async def _measure(database: Database, scheduler: Scheduler, log_limiter: LogLimiter) -> TickTime | None:
    """Return how long ticks take. None: too few ticks ran, or the ledger cannot be read."""
    if database.schema_conflict:
        return None
    source = str(Table.parse(scheduler.spec.source.table, default_schema=database.schema))
    try:
        measured = await read_tick_time(database.engine, source)
    except (SQLAlchemyError, TimeoutError) as error:
        if keys := log_limiter.record_failure(type(error).__name__):
            log.info("not measured", extra={"error": first_line(error), **keys})
        return None
    log_limiter.record_success()
    return measured


def _set_metrics(forecast: Forecast, spec: Spec) -> None:
    metrics.CONCURRENCY.set(spec.concurrency)
    in_time = forecast.due - forecast.late - forecast.lost
    for outcome, count in {"in_time": in_time, "late": forecast.late, "lost": forecast.lost}.items():
        metrics.FORECAST_TICKS.labels(outcome).set(count)
    metrics.FORECAST_SLOTS.set(forecast.sufficient_slots)
    metrics.FORECAST_RATE.set(forecast.sufficient_rate)
