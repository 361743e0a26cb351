"""A ledger that an older release kept goes on: its rows stay, its partitions get the indexes, nothing counts twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.schema import CreateSchema

from region_operator.database.engine import make_engine, transaction
from region_operator.database.indexes import build_indexes
from region_operator.database.migrate import MIGRATIONS, MigrationError, migrate, newest_revision
from region_operator.database.partitions import ensure_partitions
from region_operator.ledger.period_queries import read_periods
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_operator.ledger.suspension_queries import count_ticks
from region_operator.ledger.suspensions import ticks_to_count
from region_tick.database_url import DatabaseUrl
from tests.database.schema import run, value

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

BEFORE = "0007"
NOW = datetime.now(UTC).replace(second=0, microsecond=0)
STARTED = NOW - timedelta(minutes=30)
ACCOUNTED = NOW - timedelta(minutes=10)
PARTITIONS_WITHOUT = """
SELECT count(*) FROM pg_inherits WHERE inhparent = 'region_tick.job_run'::regclass AND NOT EXISTS (
    SELECT FROM pg_index
    WHERE indrelid = inhrelid AND indisvalid AND pg_get_indexdef(indexrelid) LIKE '%(finished_at)%')
"""


async def migrate_to(connection: AsyncConnection, revision: str) -> None:
    def upgrade(sync: Connection) -> None:
        config = Config(attributes={"connection": sync})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, revision)

    await connection.execute(CreateSchema("region_tick"))
    await connection.run_sync(upgrade)


@pytest.fixture
async def older(empty_database: str) -> str:
    """A database of the release before: a region has been suspended for half an hour, with a row for each tick.

    One tick of the region still holds the account back by ten minutes, so its later ticks have their rows already.
    """
    engine = make_engine(DatabaseUrl.parse(empty_database))
    async with transaction(engine) as connection:
        await migrate_to(connection, BEFORE)
        await ensure_partitions(connection, NOW.date() - timedelta(days=1))
    await engine.dispose()
    run(
        empty_database,
        "INSERT INTO region_tick.region_schedule VALUES"
        f" ('s', '1', '* * * * *', 'a', '{STARTED}', NULL, 'a-0123456789ab', 20, true)",
        f"INSERT INTO region_tick.ledger VALUES ('s', '{ACCOUNTED}', 'uid')",
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, reason)"
        " SELECT 's', '1', at, 'a', '* * * * *', 'skipped', 'suspended' FROM generate_series("
        f" timestamptz '{STARTED}' + interval '1 min', timestamptz '{NOW}' - interval '5 min', interval '1 min') AS at",
    )
    return empty_database


async def count(database: str) -> None:
    """Count as the first operator of this release does: nobody owns the region's slot yet, but its CronJob stands."""
    engine = make_engine(DatabaseUrl.parse(database))
    spec = ScheduleSpec(cron="* * * * *", code="a", cronjob="a-0123456789ab", start_deadline_seconds=20, suspended=True)
    version = ScheduleVersion(source="s", region_id="1", spec=spec, valid_from=STARTED)
    assert await save_versions(engine, {version.key: version}, installation="uid") == 0
    _, [period] = await read_periods(engine, installation="uid", retention=timedelta(days=30))
    assert period.finalized_until == ACCOUNTED
    ticks = ticks_to_count(period.versions, period.suspensions, after=period.after, judged_until=NOW)
    await count_ticks(engine, "s", ticks, installation="uid")
    await engine.dispose()


async def test_a_suspension_that_had_a_row_for_each_tick_is_carried_on_as_one(older: str) -> None:
    report = await migrate(DatabaseUrl.parse(older))
    assert (report.before, report.after) == (BEFORE, newest_revision())
    await count(older)
    assert value(older, "SELECT count(*) FROM region_tick.job_run") == 25
    assert value(older, "SELECT ticks FROM region_tick.suspension") == 4
    assert value(older, "SELECT sum(ticks) FROM region_tick.runs WHERE reason = 'suspended'") == 29


async def test_its_partitions_get_the_indexes_while_it_is_in_use(older: str) -> None:
    url = DatabaseUrl.parse(older)
    with psycopg.connect(older) as tick:
        tick.execute("SELECT FROM region_tick.job_run FOR SHARE")
        with pytest.raises(MigrationError, match="gave way"):  # soon, so that no other tick waits for long
            await asyncio.wait_for(migrate(url), 60)
        assert value(older, "SELECT version_num FROM region_tick.alembic_version") == BEFORE
    await migrate(url)
    assert value(older, PARTITIONS_WITHOUT) != 0
    engine = make_engine(url)
    await build_indexes(engine)
    await engine.dispose()
    assert value(older, PARTITIONS_WITHOUT) == 0
