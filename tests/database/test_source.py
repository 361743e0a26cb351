"""source.py on a real Postgres: tables and views as users have them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.row_parser import RowParser
from region_operator.regions.row_values import Bbox, text_of
from region_operator.regions.slots import ALL_SLOTS, slot_of, slots_of_shard
from region_operator.regions.source import Reading, SlowSourceError, Table, UnreadableSourceError, read_regions
from region_operator.scheduler import Columns, Shard, Source
from region_tick.contract import SCHEMA
from tests.harness.examples import finish

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def parse(reading: Reading) -> list[RegionRow | Quarantined]:
    return finish(RowParser().parse(reading.rows, source="the table", ticking_ids=lambda _: {}))


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def test_active_rows_are_read_with_their_decimals(engine: AsyncEngine) -> None:
    await execute(
        engine,
        "INSERT INTO region_index (code, name, bbox_min_lon, bbox_min_lat, bbox_max_lon, bbox_max_lat, cron_schedule)"
        " VALUES ('IS-1', 'Reykjavík', -22.123456, 64.05, -21.6, 64.18, '*/5 * * * *')",
        "INSERT INTO region_index (code, name, cron_schedule, active) VALUES ('OFF', 'Off', '@daily', false)",
    )
    [region] = parse(await read_regions(engine, Source(), default_schema="public"))
    assert isinstance(region, RegionRow)
    assert (region.source, region.code, region.name) == ("the table", "IS-1", "Reykjavík")
    assert region.bbox == Bbox(Decimal("-22.123456"), Decimal("64.050000"), Decimal("-21.600000"), Decimal("64.180000"))
    assert str(region.bbox) == "-22.123456,64.05,-21.6,64.18"


async def test_another_table_with_other_names_serves_too(engine: AsyncEngine) -> None:
    await execute(
        engine,
        'CREATE SCHEMA "Geo"',
        'CREATE TABLE "Geo".areas (nr bigint, "Code" text, label text, w float8, s float8, e float8, n float8,'
        " cron text, live bool)",
        "INSERT INTO \"Geo\".areas VALUES (7, 'DE-BE', 'Berlin', 13.08, 52.33, 13.76, 52.67, '0 * * * *', true)",
        'CREATE VIEW "Geo".regions AS SELECT * FROM "Geo".areas',
    )
    columns = Columns(
        id="nr",
        code="Code",
        name="label",
        bbox_min_lon="w",
        bbox_min_lat="s",
        bbox_max_lon="e",
        bbox_max_lat="n",
        cron_schedule="cron",
        active="live",
    )
    [region] = parse(await read_regions(engine, Source(table="Geo.regions", columns=columns), default_schema="public"))
    assert isinstance(region, RegionRow)
    assert (region.id, region.code, region.source) == ("7", "DE-BE", "the table")


@pytest.mark.parametrize("kind", ["text", "interval"])
async def test_a_table_may_have_columns_for_handler_and_timeout(kind: str, engine: AsyncEngine) -> None:
    await execute(
        engine,
        f"ALTER TABLE region_index ADD COLUMN does text, ADD COLUMN may_take {kind}",
        "INSERT INTO region_index (code, name, cron_schedule, does, may_take)"
        " VALUES ('A', '', '@daily', 'work:run', '90s'), ('B', '', '@daily', NULL, NULL)",
    )
    source = Source(columns=Columns(handler="does", timeout="may_take"))
    regions = parse(await read_regions(engine, source, default_schema="public"))
    assert {(region.code, region.handler, region.timeout) for region in regions if isinstance(region, RegionRow)} == {
        ("A", "work:run", timedelta(seconds=90)),
        ("B", None, None),
    }


@pytest.mark.parametrize("kind", ["jsonb", "json", "text"])
async def test_a_table_may_have_a_column_for_params_whose_numbers_stay_as_they_are(
    kind: str, engine: AsyncEngine
) -> None:
    await execute(
        engine,
        f"ALTER TABLE region_index ADD COLUMN options {kind}",
        "INSERT INTO region_index (code, name, cron_schedule, options) VALUES"
        """ ('A', '', '@daily', '{"depth": 0.1000000000000000055}'), ('B', '', '@daily', NULL),"""
        """ ('C', '', '@daily', '["no object"]'), ('D', '', '@daily', 'null')""",
    )
    source = Source(columns=Columns(params="options"))
    regions = parse(await read_regions(engine, source, default_schema="public"))
    assert {(region.code, region.params) for region in regions if isinstance(region, RegionRow)} == {
        ("A", '{"depth": 0.1000000000000000055}'),
        ("B", None),
        ("D", None),
    }
    (bad,) = (region for region in regions if isinstance(region, Quarantined))
    assert (bad.code, 'params "["no object"]" is no object' in bad.reason) == ("C", True)


async def test_a_table_that_cannot_be_read_is_no_table_without_rows(engine: AsyncEngine) -> None:
    with pytest.raises(UnreadableSourceError, match="nowhere"):
        await read_regions(engine, Source(table="nowhere"), default_schema="public")
    with pytest.raises(UnreadableSourceError, match="crontab"):
        await read_regions(engine, Source(columns=Columns(cron_schedule="crontab")), default_schema="public")


@pytest.mark.parametrize(("table", "schema"), [("region_tick.job_run", "public"), ("region_index", SCHEMA)])
async def test_a_table_in_our_own_schema_is_refused(engine: AsyncEngine, table: str, schema: str) -> None:
    await execute(engine, "CREATE TABLE region_tick.region_index AS TABLE region_index")
    with pytest.raises(UnreadableSourceError, match=r"region_tick\.\w+ is in the operator's own schema.*: move it"):
        await read_regions(engine, Source(table=table), default_schema=schema)


async def test_a_view_that_is_too_slow_says_how_long_was_waited(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region_operator.regions.source.READ_TIMEOUT_SECONDS", 0.2)
    await execute(engine, "CREATE VIEW slow AS SELECT region_index.* FROM region_index, pg_sleep(60)")
    with pytest.raises(
        SlowSourceError, match=r"public\.slow was not read within 0\.2 s .*statement timeout.*: EXPLAIN"
    ):
        await read_regions(engine, Source(table="slow"), default_schema="public")


async def test_a_table_that_stays_locked_says_so(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("region_operator.regions.source.LOCK_TIMEOUT_SECONDS", 0.2)
    async with engine.begin() as connection:
        await connection.execute(text("LOCK TABLE region_index IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(SlowSourceError, match=r"public\.region_index was locked for more than 0\.2 s.*pg_locks"):
            await read_regions(engine, Source(), default_schema="public")


def test_a_tables_schema_is_its_own_or_the_urls() -> None:
    assert str(Table.parse("regions", default_schema="app")) == "app.regions"
    assert str(Table.parse("geo.regions", default_schema="app")) == "geo.regions"


async def test_no_more_rows_are_read_than_asked_for(engine: AsyncEngine) -> None:
    """A view that joins wrongly has millions of rows."""
    await execute(
        engine,
        "INSERT INTO region_index (code, name, cron_schedule)"
        " SELECT 'R' || n, 'R', '@daily' FROM generate_series(1, 30) n",
    )
    some = await read_regions(engine, Source(), default_schema="public", max_rows=29)
    assert (len(some.rows), some.complete) == (29, False)
    every = await read_regions(engine, Source(), default_schema="public", max_rows=30)
    assert (len(every.rows), every.complete) == (30, True)
    assert list(some.rows) == list(every.rows)[:29]


async def make_areas(engine: AsyncEngine, region_id: str, *, rows: int) -> Source:
    """Make a table of regions with ids by an expression of n, in the column "The Id"."""
    boxes = ", ".join(f"NULL::numeric AS {name}" for name in Columns.model_fields if name.startswith("bbox"))
    await execute(
        engine,
        f"CREATE TABLE areas AS SELECT {region_id} AS \"The Id\", 'c' || n AS code, 'a' AS name, {boxes},"
        f" '@daily' AS cron_schedule, true AS active FROM generate_series(1, {rows}) AS n",
    )
    return Source(table="areas", columns=Columns(id="The Id"))


@pytest.mark.parametrize("region_id", ["md5(n::text)::uuid", "n::bigint", "'é' || n", "nullif(n, 7)"])
async def test_the_shards_of_a_table_have_each_row_once(region_id: str, engine: AsyncEngine) -> None:
    source = await make_areas(engine, region_id, rows=600)
    ids: list[str] = []
    for index in range(4):
        slots = slots_of_shard(Shard(index=index, count=4))
        rows = (await read_regions(engine, source, default_schema="public", slots=slots)).rows
        assert {slot_of(text_of(row["id"])) for row in rows} <= slots
        assert 100 < len(rows) < 200
        ids += [text_of(row["id"]) for row in rows]
    assert len(ids) == len(set(ids)) == 600
    assert (await read_regions(engine, source, default_schema="public", slots=frozenset())).rows == []


async def test_ids_whose_text_is_ambiguous_cannot_be_divided(engine: AsyncEngine) -> None:
    """Postgres writes 1 where Python writes 1.0: a row would be in two shards, or in none."""
    source = await make_areas(engine, "n::float8", rows=50)
    slots = slots_of_shard(Shard(index=0, count=2))
    with pytest.raises(UnreadableSourceError, match="cannot be divided into shards: its ids have a type"):
        await read_regions(engine, source, default_schema="public", slots=slots)
    assert len((await read_regions(engine, source, default_schema="public", slots=ALL_SLOTS)).rows) == 50
