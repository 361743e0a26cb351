"""ledger/service.py on a real Postgres: up to when ticks may be judged, and when a failed pass is tried again."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from region_operator.database.store import Database
from region_operator.ledger.service import FINALIZE_EVERY_SECONDS, LedgerService
from region_operator.regions.slots import ALL_SLOTS
from region_operator.runtime.backoff import LAST_RETRY_SECONDS
from region_tick.contract import LATENESS_TOLERANCE_SECONDS
from tests.harness.clock import Clock
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from region_operator.kube.api import Api


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock, api_of_nobody: Api) -> LedgerService:
    """A LedgerService without an API server."""
    return LedgerService(api_of_nobody, retention=timedelta(days=30), clock=clock)


def stale_seconds(ledger: LedgerService) -> float:
    return ledger.lag.total_seconds() - LATENESS_TOLERANCE_SECONDS


async def test_what_is_in_force_is_in_doubt_from_a_reconciles_begin_to_its_note(
    engine: AsyncEngine, clock: Clock, ledger: LedgerService
) -> None:
    database = Database(engine, "public")
    for _ in range(2):  # the first one failed
        ledger.start_reconcile()
        clock.now += 30
    assert stale_seconds(ledger) == 60
    await ledger.save_schedules(database, scheduler(), [], slots=ALL_SLOTS, look=1)
    clock.now += 100
    assert stale_seconds(ledger) == 0


async def test_news_amid_a_reconcile_are_left_to_the_next(
    engine: AsyncEngine, clock: Clock, ledger: LedgerService
) -> None:
    database = Database(engine, "public")
    for _ in range(3):  # it goes on although there are always news
        ledger.start_reconcile()
        clock.now += 30
        ledger.mark_stale()
        await ledger.save_schedules(database, scheduler(), [], slots=ALL_SLOTS, look=1)
        assert stale_seconds(ledger) == 30
    clock.now += 1
    ledger.start_reconcile()
    await ledger.save_schedules(database, scheduler(), [], slots=ALL_SLOTS, look=1)
    assert stale_seconds(ledger) == 0


async def test_a_note_that_failed_leaves_the_doubt(engine: AsyncEngine, clock: Clock, ledger: LedgerService) -> None:
    ledger.start_reconcile()
    await execute(engine, "ALTER TABLE region_tick.region_schedule RENAME TO away")
    await ledger.save_schedules(Database(engine, "public"), scheduler(), [], slots=ALL_SLOTS, look=1)
    clock.now += 30
    assert stale_seconds(ledger) == 30


async def test_a_settling_that_fails_is_told_once_and_tried_again_later_each_time(
    engine: AsyncEngine, ledger: LedgerService, caplog: pytest.LogCaptureFixture
) -> None:
    assert await ledger.finalize() == FINALIZE_EVERY_SECONDS  # nothing was saved yet, so no tick is expected
    await ledger.save_schedules(Database(engine, "public"), scheduler(), [], slots=ALL_SLOTS, look=1)
    await execute(engine, "ALTER TABLE region_tick.ledger RENAME TO away")
    with caplog.at_level(logging.WARNING):
        delays = [await ledger.finalize() for _ in range(9)]
    assert delays[0] <= 1
    assert all(before / 2 <= after <= LAST_RETRY_SECONDS for before, after in pairwise(delays))
    assert delays[-1] >= LAST_RETRY_SECONDS / 2
    assert [record.message for record in caplog.records] == ["not accounted"]


def ticking_regions() -> float | None:
    return REGISTRY.get_sample_value("region_operator_ticking_regions")


async def test_without_a_scheduler_no_pass_shows_freshness_again(
    engine: AsyncEngine, ledger: LedgerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was shown of regions that tick no more would be an alert that stays."""

    async def fail_at_once(_namespace: str) -> NoReturn:
        raise TimeoutError("waiting for the API server of nobody takes ten seconds")

    monkeypatch.setattr(ledger.job_watch, "catch_up", fail_at_once)
    database = Database(engine, "public")
    await ledger.save_schedules(database, scheduler(), [], slots=ALL_SLOTS, look=1)
    await ledger.finalize()
    assert ticking_regions() == 0
    under_way = asyncio.ensure_future(ledger.finalize())
    await asyncio.sleep(0)
    ledger.show_no_freshness()
    await under_way
    assert ticking_regions() is None
    await ledger.finalize()
    assert ticking_regions() is None
    await ledger.save_schedules(database, scheduler(), [], slots=ALL_SLOTS, look=2)
    await ledger.finalize()
    assert ticking_regions() == 0


async def execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))
