"""Every promised version of Postgres is migrated, its table read, a tick claimed and finished, a ledger kept.

The other tests of this folder say more, about the one version that POSTGRES names.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres import Postgres
from devcluster.postgres_programs import MAJORS
from region_operator.database.engine import make_engine
from region_operator.database.migrate import migrate, newest_revision
from region_operator.ledger.batches import Batches
from region_operator.ledger.causes import Verdict
from region_operator.ledger.expected_ticks import ExpectedTick
from region_operator.ledger.job_run_queries import find_missing, write_final_rows
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_tick.claim import Claimed
from region_tick.contract import Reason
from region_tick.database_url import DatabaseUrl
from region_tick.fence import finish
from region_tick.rerun import claim_again
from region_tick.session import connect
from tests.conftest import POSTGRES, version_of
from tests.database.reading import regions
from tests.harness.ticks import SOURCE, SUCCESS, TICK_AT, environment, first

if TYPE_CHECKING:
    from collections.abc import Callable

SPEC = ScheduleSpec(cron="* * * * *", code="ch-zrh", cronjob="ch-zrh", start_deadline_seconds=20)


@pytest.mark.parametrize("major", MAJORS)
def test_an_empty_database_is_migrated_and_takes_ticks(
    major: int, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    monkeypatch.setenv("POSTGRES", str(major))
    with Postgres.temporary() as server:
        url = DatabaseUrl.parse(server.url())
        reports = [asyncio.run(migrate(url)) for _ in range(2)]
        assert [(report.before, report.after) for report in reports] == [
            (None, newest_revision()),
            (newest_revision(), newest_revision()),
        ]
        with closing(connect(url)) as connection:
            assert connection.info.server_version // 10_000 == major
            record_property(POSTGRES, version_of(connection))
            assert finish(connection, first(server.url(), connection), SUCCESS)
        assert asyncio.run(regions(server.url())) == []
        assert asyncio.run(account(url)) == 1
        with psycopg.connect(server.url()) as observer:
            states = "SELECT state, attempt, rerun_by FROM region_tick.runs ORDER BY state"
            assert observer.execute(states).fetchall() == [("missed", 0, None), ("succeeded", 1, None)]
            missed = f"{TICK_AT - timedelta(minutes=1):%Y-%m-%dT%H:%M:00Z}"
            with closing(connect(url)) as connection:
                rerun = environment(server.url(), RERUN_OF=missed, RERUN_BY="me")
                again = claim_again(connection, rerun, lease_seconds=9)
                assert isinstance(again, Claimed)
                assert finish(connection, again, SUCCESS)
            assert observer.execute(states).fetchall() == [("succeeded", 1, None), ("succeeded", 1, "me")]


async def account(url: DatabaseUrl) -> int:
    """Give a tick without a row its final row, as the ledger does. Return how many rows were written."""
    version = ScheduleVersion(source=SOURCE, region_id="42", spec=SPEC, valid_from=datetime.now(UTC))
    ticks = [ExpectedTick("42", SPEC, TICK_AT - minutes, None) for minutes in (timedelta(minutes=1), timedelta(0))]
    engine = make_engine(url)
    try:
        await save_versions(engine, {(SOURCE, "42"): version}, installation="uid")
        missing = await find_missing(engine, SOURCE, ticks, Batches())
        verdicts = [(tick, Verdict(Reason.NOT_CREATED, "")) for tick in missing]
        return len(await write_final_rows(engine, SOURCE, verdicts, Batches()))
    finally:
        await engine.dispose()
