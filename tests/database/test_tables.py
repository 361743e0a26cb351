"""The tables as they are written down are the tables that the migrations make, and they refuse what they must."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Table, insert, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateSchema

from region_operator.database.engine import make_engine, transaction
from region_operator.database.tables import (
    creator,
    job_run,
    ledger,
    metadata,
    region_cursor,
    region_schedule,
    suspension,
)
from region_tick.contract import SCHEMA, State
from region_tick.database_url import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

AT = datetime(2026, 11, 24, 5, 30, tzinfo=UTC)
REGION = {"source": "public.region_index", "region_id": "7"}
RUN = REGION | {"tick_at": AT, "region_code": "de-by", "cron": "*/5 * * * *", "state": State.RUNNING}
CURSOR = REGION | {"handler": "poll", "window_end": AT}
CRONJOB = {"cronjob": "de-by-0123456789ab", "start_deadline_seconds": 100, "suspended": True}
SCHEDULE = REGION | CRONJOB | {"code": "de-by", "cron": "*/5 * * * *", "valid_from": AT}
SUSPENSION = REGION | {
    "suspended_from": AT,
    "region_code": "de-by",
    "cron": "*/5 * * * *",
    "first_tick_at": AT,
    "last_tick_at": AT,
    "ticks": 1,
    "counted_until": AT,
}
LEDGER = {"source": "public.region_index", "accounted_until": AT, "scheduler": "uid"}
OWNER = {"source": "public.region_index", "slot": 255, "installation": "uid", "accounted_until": AT}
INSTALLATION = {"source": "public.region_index", "installation": "uid", "namespace": "n", "interval_seconds": 300}
CREATOR = REGION | {"platform": "youtube", "handle": "@someone"}

EVERYTHING = r"""
WITH relation AS (
    SELECT c.oid AS id, c.relkind AS kind, c.oid::regclass::text AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', :schema) AND NOT c.relispartition AND c.relkind IN ('r', 'p')
        AND c.relname <> 'alembic_version' AND c.relname NOT LIKE 'procrastinate\_%'
)
SELECT name, 'table', kind::text, pg_get_partkeydef(id) FROM relation
UNION ALL
SELECT name, format('column %s', a.attnum), format('%s %s', a.attname, format_type(a.atttypid, a.atttypmod)),
    concat_ws(' ', a.attnotnull, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid))
FROM relation
JOIN pg_attribute a ON a.attrelid = id AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = id AND d.adnum = a.attnum
UNION ALL
SELECT name, 'constraint', k.conname, pg_get_constraintdef(k.oid)
FROM relation JOIN pg_constraint k ON k.conrelid = id
UNION ALL
SELECT name, 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM relation JOIN pg_index i ON i.indrelid = id
ORDER BY 1, 2, 3
"""
"""Every table, column, constraint and index of the two schemas; partitions and the queue's are left out."""


@pytest.fixture
async def engine_by_metadata(empty_database: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database whose tables were made from the metadata alone."""
    engine = make_engine(DatabaseUrl.parse(empty_database))
    async with transaction(engine) as connection:
        await connection.execute(CreateSchema(SCHEMA))
        await connection.run_sync(metadata.create_all)
    yield engine
    await engine.dispose()


async def test_migrated_database_agrees_with_the_metadata(engine: AsyncEngine, engine_by_metadata: AsyncEngine) -> None:
    async with transaction(engine) as migrated, transaction(engine_by_metadata) as by_metadata:
        expected = (await by_metadata.execute(text(EVERYTHING), {"schema": SCHEMA})).all()
        assert (await migrated.execute(text(EVERYTHING), {"schema": SCHEMA})).all() == expected
    assert {row[0] for row in expected} == {
        "region_index",
        *(f"{SCHEMA}.{table.name}" for table in metadata.tables.values() if table.schema == SCHEMA),
    }


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (job_run, RUN),
        (region_cursor, CURSOR),
        (region_schedule, SCHEDULE),
        (suspension, SUSPENSION),
        (ledger, LEDGER),
        (creator, CREATOR),
    ],
)
async def test_a_row_needs_no_more_than_this(engine: AsyncEngine, table: Table, row: dict[str, Any]) -> None:
    async with transaction(engine) as connection:
        await connection.execute(insert(table), row)


async def test_a_tick_has_one_row_and_each_manual_run_its_own(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await connection.execute(insert(job_run), [RUN, RUN | {"source": "public.other"}, RUN | {"region_id": "8"}])
        await connection.execute(insert(job_run), [RUN | {"manual_uid": "a"}, RUN | {"manual_uid": "b"}])
    with pytest.raises(IntegrityError, match=r"job_run_\w+_pkey"):
        async with transaction(engine) as connection:
            await connection.execute(insert(job_run), RUN | {"state": State.MISSED})


@pytest.mark.parametrize("state", State)
async def test_every_state_of_the_contract_is_taken(engine: AsyncEngine, state: State) -> None:
    async with transaction(engine) as connection:
        await connection.execute(insert(job_run), RUN | {"state": state})


@pytest.mark.parametrize(
    ("table", "row", "constraint"),
    [
        (job_run, RUN | {"state": "asleep"}, "job_run_state_check"),
        (job_run, RUN | {"attempt": -1}, "job_run_attempt_check"),
        (region_schedule, SCHEDULE | {"valid_to": AT}, "region_schedule_valid_check"),
        (suspension, SUSPENSION | {"ticks": -1}, "suspension_ticks_check"),
        (creator, CREATOR | {"handle": None}, "creator_address_check"),
    ],
)
async def test_refused_values(engine: AsyncEngine, table: Table, row: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        async with transaction(engine) as connection:
            await connection.execute(insert(table), row)


async def test_a_region_has_one_schedule_in_force(engine: AsyncEngine) -> None:
    later = AT + timedelta(hours=1)
    async with transaction(engine) as connection:
        await connection.execute(insert(region_schedule), [SCHEDULE | {"valid_to": later}])
        await connection.execute(insert(region_schedule), [SCHEDULE | {"valid_from": later}])
    with pytest.raises(IntegrityError, match="region_schedule_current"):
        async with transaction(engine) as connection:
            await connection.execute(insert(region_schedule), SCHEDULE | {"valid_from": later + timedelta(hours=1)})


async def test_open_rows_are_found_by_their_own_index(engine: AsyncEngine) -> None:
    unfinished = [state for state in State if not state.final]
    async with transaction(engine) as connection:
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = await connection.execute(
            text(f"EXPLAIN SELECT FROM {SCHEMA}.job_run WHERE state = ANY(:states) AND lease_until < now()"),
            {"states": unfinished},
        )
        scans = [line for line in plan.scalars() if "Index Scan" in line]
    assert scans
    assert all("tick_at_idx" in line for line in scans)


async def test_a_renewed_lease_touches_no_index(engine: AsyncEngine) -> None:
    hot = text(
        "SELECT sum(pg_stat_get_xact_tuples_hot_updated(inhrelid))"
        f" FROM pg_inherits WHERE inhparent = '{SCHEMA}.job_run'::regclass"
    )
    async with transaction(engine) as connection:
        await connection.execute(insert(job_run), RUN)
        await connection.execute(update(job_run).values(lease_until=AT))
        assert (await connection.execute(hot)).scalar_one() == 1
