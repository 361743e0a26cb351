"""forecaster.py without a ledger: when a forecast is computed again, and that its words stay the same until then."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from region_operator import forecaster
from region_operator.database.engine import make_engine
from region_operator.database.store import Database
from region_operator.forecaster import Forecaster, Row
from region_operator.plan.forecast import Forecast, make_forecast
from region_operator.regions.region import Quarantined
from region_operator.runtime import metrics
from region_tick.database_url import DatabaseUrl
from tests.harness.clock import Clock
from tests.harness.examples import PARIS, scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 11, 24, 12, 40, tzinfo=UTC)
NOWHERE = Database(make_engine(DatabaseUrl.parse("postgresql://127.0.0.1:1/none")), "public", "a newer schema")


def rows(regions: int, *schedules: str) -> list[Row]:
    """Return the rows of so many regions with each of the schedules."""
    crons = [cron for cron in schedules for _ in range(regions)]
    return [replace(PARIS, id=str(n), code=f"R{n}", cron_schedule=cron) for n, cron in enumerate(crons)]


HERD = rows(500, "0 * * * *")
SPREAD = rows(500, "H * * * *")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Forecast]:
    """The forecasts that were computed, in their order."""
    found: list[Forecast] = []

    def remember(*arguments: Any, **keywords: Any) -> Forecast:
        found.append(make_forecast(*arguments, **keywords))
        return found[-1]

    monkeypatch.setattr(forecaster, "make_forecast", remember)
    return found


def at_noon(*, clock: Callable[[], float] | None = None, now: datetime = NOON) -> Forecaster:
    return Forecaster(clock=clock or Clock(), now=lambda: now)


async def explain(forecasts: Forecaster, found: list[Row], **spec: Any) -> str:
    return await forecasts.explain_overcommitment(NOWHERE, scheduler(**spec), found)


async def test_what_does_not_fit_is_said_until_it_fits(computed: list[Forecast]) -> None:
    forecasts = at_noon()
    message = await explain(forecasts, HERD)
    assert "the worst minutes are 00:00 (500 due, 250 lost)" in message
    assert "an assumption" in message
    assert await explain(forecasts, HERD) == message
    assert len(computed) == 1
    assert await explain(forecasts, SPREAD) == ""
    assert await explain(forecasts, HERD) == message
    assert await explain(forecasts, HERD, concurrency=40) == ""
    assert await explain(forecasts, HERD, tick={"startDeadline": "15m"}) == ""
    assert len(computed) == 5


async def test_the_words_are_the_same_at_every_hour_and_in_every_process(computed: list[Forecast]) -> None:
    now = NOON
    forecasts = Forecaster(clock=Clock(), now=lambda: now)
    messages = set()
    for _ in range(6):
        messages |= {await explain(forecasts, HERD), await explain(at_noon(now=now), HERD)}
        now += timedelta(minutes=25)
    assert len(messages) == 1
    assert len(computed) == 6 + 3, "one for each process that begins anew, and for each hour of the other"
    assert {found.start.minute for found in computed} == {0}


async def test_while_all_regions_are_suspended_none_is_late() -> None:
    assert await explain(at_noon(), HERD, suspend=True) == ""


async def test_a_row_that_cannot_be_scheduled_has_no_ticks(computed: list[Forecast]) -> None:
    bad = [Quarantined("7", "R7", "no name"), *rows(1, "61 * * * *", "0 12 * * *")]
    assert await explain(at_noon(), bad) == ""
    assert [found.due for found in computed] == [1]


async def test_a_table_that_changes_all_the_time_costs_a_twentieth_of_the_time(computed: list[Forecast]) -> None:
    seconds = iter(range(10_000))
    forecasts = at_noon(clock=lambda: float(next(seconds)))  # a forecast takes a second of this clock
    for number in range(100):
        await explain(forecasts, HERD[number:])
    assert 2 <= len(computed) <= 100 * 3 / 20, "each call looks at the clock three times"


async def test_the_event_loop_turns_while_a_forecast_is_computed() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await explain(at_noon(), rows(2_000, "* * * * *", "H/5 * * * *"))
    turning.cancel()
    assert turns > 10


async def test_a_bug_of_the_forecast_fails_no_reconcile_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forecasts = at_noon()
    message = await explain(forecasts, HERD)

    def fail(*_: object, **__: object) -> Forecast:
        raise ZeroDivisionError

    monkeypatch.setattr(forecaster, "make_forecast", fail)
    for _ in range(3):
        assert await explain(forecasts, SPREAD) == message
    [line] = caplog.records
    assert (line.message, bool(line.exc_info)) == ("not forecast", True)


async def test_metrics_show_the_forecast() -> None:
    await explain(at_noon(), HERD)
    shown = {outcome: metrics.FORECAST_TICKS.labels(outcome)._value.get() for outcome in ("in_time", "late", "lost")}
    assert sum(shown.values()) == 500 * 24
    assert shown["lost"] > 200 * 24
    assert metrics.FORECAST_SLOTS._value.get() == 9
    assert 1 < metrics.FORECAST_RATE._value.get() < 8
