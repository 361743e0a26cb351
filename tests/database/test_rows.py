"""Rows as clients write them, from a real Postgres to a region or a quarantined row."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.source import UnreadableSourceError
from region_operator.scheduler import Columns, Source
from tests.database.reading import regions
from tests.database.schema import run, value

TABLE = (
    "CREATE TABLE areas (id {id}, code {code}, name text DEFAULT '', cron_schedule {cron} DEFAULT '@daily',"
    " active {active}, bbox_min_lon {box}, bbox_min_lat {box}, bbox_max_lon {box}, bbox_max_lat {box},"
    " does {handler}, may_take {timeout})"
)
KINDS = {
    "id": "bigint", "code": "text", "cron": "text", "active": "boolean DEFAULT true", "box": "numeric",
    "handler": "text", "timeout": "text",
}  # fmt: skip
SOURCE = Source(table="areas", columns=Columns(handler="does", timeout="may_take"))


async def read(database: str, *rows: str, columns: str = "id, code", **kinds: str) -> list[RegionRow | Quarantined]:
    """Read a table whose columns have `kinds`, with `rows` of `columns`."""
    run(
        database,
        "DROP TABLE IF EXISTS areas",
        TABLE.format_map(KINDS | kinds),
        f"INSERT INTO areas ({columns}) VALUES {', '.join(rows)}",
    )
    return await regions(database, SOURCE)


async def only(database: str, row: str, columns: str, **kinds: str) -> RegionRow:
    [region] = await read(database, row, columns=columns, **kinds)
    assert isinstance(region, RegionRow), region
    return region


async def test_the_padding_of_char_is_no_part_of_a_value(database: str) -> None:
    region = await only(
        database,
        "('a1', 'US-CA', '*/5 * * * *', 'poke', '')",
        "id, code, cron_schedule, does, may_take",
        id="char(9)",
        code="char(8)",
        cron="char(40)",
        handler="char(20)",
        timeout="char(10)",
    )
    assert (region.id, region.code, region.cron_schedule) == ("a1", "US-CA", "*/5 * * * *")
    assert (region.handler, region.timeout) == ("poke", None)


@pytest.mark.parametrize("kind", ["text", "varchar(20)", "char(20)"])
async def test_an_empty_text_is_no_handler_and_no_timeout(database: str, kind: str) -> None:
    region = await only(database, "(1, 'A', '', '')", "id, code, does, may_take", handler=kind, timeout=kind)
    assert (region.handler, region.timeout) == (None, None)


async def test_an_interval_may_be_a_timeout(database: str) -> None:
    found = await read(
        database, "(1, 'A', '90 s')", "(2, 'B', NULL)", columns="id, code, may_take", timeout="interval"
    )  # fmt: skip
    assert [region.timeout for region in found if isinstance(region, RegionRow)] == [timedelta(seconds=90), None]


@pytest.mark.parametrize(
    ("kind", "corners", "box"),
    [
        ("float8", "-180.00000000000003, -90.00000000000001, 180.00000000000003, 90.00000000000001", "-180,-90,180,90"),
        ("float8", "0.1, 1e-7, 15, 55.0", "0.1,0.0000001,15,55"),
        ("numeric(12,7)", "0.1, 1e-7, 15, 55.0", "0.1,0.0000001,15,55"),
        ("text", "'0.1', '1e-7', '15', '55.00'", "0.1,0.0000001,15,55"),
        ("float4", "0.1, -0.0, 15, 55", "0.1,0,15,55"),
        ("bigint", "0, 1, 150, 55", "0,1,150,55"),
    ],
)
async def test_a_number_has_one_text_whatever_its_type(database: str, kind: str, corners: str, box: str) -> None:
    columns = "id, code, bbox_min_lon, bbox_min_lat, bbox_max_lon, bbox_max_lat"
    region = await only(database, f"(1, 'A', {corners})", columns, box=kind)
    assert str(region.bbox) == box


@pytest.mark.parametrize("corner", ["180.00000001", "-180.1", "'NaN'", "'infinity'", "1e300"])
async def test_a_corner_beyond_rounding_is_no_place(database: str, corner: str) -> None:
    columns = "id, code, bbox_min_lon, bbox_min_lat, bbox_max_lon, bbox_max_lat"
    [region] = await read(database, f"(1, 'A', {corner}, 0, 0, 0)", columns=columns, box="float8")
    assert isinstance(region, Quarantined)
    assert "bbox_min_lon " in region.reason
    assert "is not a place" in region.reason


@pytest.mark.parametrize(
    ("kind", "odd", "good"),
    [
        ("timestamptz", ["infinity", "-infinity", "20000-01-01 UTC", "0044-03-15 BC"], "2026-01-01 UTC"),
        ("timestamp", ["infinity", "20000-01-01", "0044-03-15 BC"], "2026-01-01"),
        ("date", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"], "2026-01-01"),
        ("numeric", ["NaN"], "1.50"),
        ("float8", ["NaN", "infinity"], "1.5"),
    ],
)
async def test_an_id_that_python_cannot_hold_quarantines_its_row_alone(
    database: str, kind: str, odd: list[str], good: str
) -> None:
    rows = [f"('{value}', '{code}')" for code, value in zip("ABCDE", [good, *odd], strict=False)]
    found = {region.code: region for region in await read(database, *rows, id=kind)}
    assert len(found) == len(odd) + 1
    assert isinstance(found.pop("A"), RegionRow)
    for region in found.values():
        assert isinstance(region, Quarantined)
        assert region.reason.startswith("id ")
        assert "write" in region.reason


@pytest.mark.parametrize("interval", ["infinity", "-infinity", "178000000 years", "10 days"])
async def test_a_timeout_that_python_cannot_hold_quarantines_its_row_alone(database: str, interval: str) -> None:
    rows = (f"(1, 'A', '{interval}')", "(2, 'B', '1 h')")
    columns = "id, code, may_take"
    if "infinity" in interval and value(database, "SELECT current_setting('server_version_num')::int < 170000"):
        with pytest.raises(psycopg.errors.InvalidDatetimeFormat):
            await read(database, *rows, columns=columns, timeout="interval")
        return
    odd, good = await read(database, *rows, columns=columns, timeout="interval")
    assert isinstance(odd, Quarantined)
    assert odd.reason.startswith('timeout "')
    assert isinstance(good, RegionRow)


@pytest.mark.parametrize(
    ("kind", "status", "condition"),
    [
        ("status", "'ACTIVE'", "status = 'ACTIVE'"),
        ("integer", "1", "status = 1"),
        ("text", "'yes'", "status = 'yes'"),
    ],
)
async def test_an_active_of_another_type_is_said_with_the_remedy(
    database: str, kind: str, status: str, condition: str
) -> None:
    run(database, "CREATE TYPE status AS ENUM ('ACTIVE', 'OFF')")
    with pytest.raises(UnreadableSourceError, match=r"must be type boolean.*columns\.active.*GENERATED ALWAYS AS"):
        await read(database, f"(1, 'A', {status})", columns="id, code, active", active=kind)
    run(
        database,
        "ALTER TABLE areas RENAME active TO status",
        f"ALTER TABLE areas ADD active boolean GENERATED ALWAYS AS ({condition}) STORED",
    )
    assert len(await regions(database, SOURCE)) == 1
