"""Databases as other people set them up: other formats of dates, other encodings, row security."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from region_operator.database.engine import make_engine
from region_operator.database.migrate import migrate
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.source import UnreadableSourceError
from region_operator.scheduler import Columns, Source
from region_tick.adapters import Found, Item
from region_tick.claim import Claimed, claim
from region_tick.contract import Reason, State
from region_tick.creators import take_creator
from region_tick.database_url import DatabaseUrl
from region_tick.delivery import deliver
from region_tick.fence import Ending, finish
from region_tick.items import count_escaped
from region_tick.session import bound, connect
from region_tick.text_encoding import escape
from region_tick.upstreams import save
from tests.database.poll_rows import how_many
from tests.database.reading import regions
from tests.database.schema import run
from tests.harness.ticks import SOURCE, TICK_AT, environment, first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.server import Server

STYLES = [
    ("German", "postgres"),
    ("SQL, DMY", "sql_standard"),
    ("Postgres, MDY", "iso_8601"),
    ("ISO, DMY", "postgres_verbose"),
]


@contextmanager
def database_in(postgres: Server, encoding: str) -> Iterator[str]:
    name = f"region_tick_test_{encoding.lower()}_{secrets.token_hex(4)}"  # the server may be shared
    with psycopg.connect(DatabaseUrl.parse(postgres.url()).conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'".encode())
    try:
        yield postgres.url(name)
    finally:
        postgres.drop_database(name)


@pytest.fixture(params=["LATIN1", "WIN1252", "EUC_JP", "SQL_ASCII"])
def encoded(request: pytest.FixtureRequest, postgres: Server) -> Iterator[str]:
    """The URL of a migrated database in another encoding than UTF-8."""
    with database_in(postgres, request.param) as url:
        asyncio.run(migrate(DatabaseUrl.parse(url)))
        yield url


def encoding_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        return connection.info.parameter_status("server_encoding") or ""


@pytest.mark.parametrize(("dates", "intervals"), STYLES)
def test_formats_of_dates_and_intervals(empty_database: str, dates: str, intervals: str) -> None:
    name = empty_database.rpartition("/")[2]
    run(
        empty_database,
        f"ALTER DATABASE {name} SET datestyle = '{dates}'",
        f"ALTER DATABASE {name} SET intervalstyle = '{intervals}'",
    )
    asyncio.run(migrate(DatabaseUrl.parse(empty_database)))
    run(
        empty_database,
        "CREATE TABLE areas (LIKE region_index INCLUDING ALL, day timestamptz, may_take interval)",
        "INSERT INTO areas VALUES (DEFAULT, 'A', 'A', NULL, NULL, NULL, NULL, '@daily', true, now(), now(),"
        " '2026-02-01 03:04:05+00', '90 s')",
    )
    columns = Columns(id="day", timeout="may_take")
    [region] = asyncio.run(regions(empty_database, Source(table="areas", columns=columns)))
    assert isinstance(region, RegionRow)
    assert datetime.fromisoformat(region.id) == datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC)
    assert region.timeout == timedelta(seconds=90)
    with closing(connect(DatabaseUrl.parse(empty_database))) as connection:
        claimed = first(empty_database, connection)
        row = connection.execute("SELECT tick_at FROM region_tick.job_run").fetchone()  # as a handler reads
        assert row == (claimed.key.tick_at,)
        with connection.transaction():
            bound(connection)
            row = connection.execute("SELECT tick_at, interval '-1 day 2 s' FROM region_tick.job_run").fetchone()
        assert row == (claimed.key.tick_at, timedelta(days=-1, seconds=2))
        assert finish(connection, claimed, Ending(state=State.SUCCEEDED, reason=Reason.OK))


def test_formats_behind_a_pooler(empty_database: str, pooled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler in transaction mode gives each transaction another session, and none of ours changes a session."""
    asyncio.run(migrate(DatabaseUrl.parse(empty_database)))
    name = empty_database.rpartition("/")[2]
    run(
        empty_database,
        f"ALTER DATABASE {name} SET datestyle = 'German, DMY'",
        f"ALTER DATABASE {name} SET intervalstyle = sql_standard",
    )
    assert asyncio.run(regions(pooled)) == []
    with closing(connect(DatabaseUrl.parse(pooled))) as connection:
        claimed = first(pooled, connection)
        for _ in range(3):
            row = connection.execute("SELECT tick_at FROM region_tick.job_run").fetchone()
            assert row == (claimed.key.tick_at,)
        assert finish(connection, claimed, Ending(state=State.SUCCEEDED, reason=Reason.OK))
    monkeypatch.delenv("PGDATESTYLE")
    with psycopg.connect(
        DatabaseUrl.parse(pooled).conninfo, autocommit=True
    ) as application:  # another client of the same sessions
        for _ in range(3):
            styles = application.execute(
                "SELECT current_setting('datestyle'), current_setting('intervalstyle')"
            ).fetchone()
            assert styles == ("German, DMY", "sql_standard")


TITLES = ("Zürich", "Łódź", "東京", "Neu 🚀", "nul\0 and lone \ud83d")


def test_what_the_database_cannot_hold_is_escaped_and_counted(encoded: str) -> None:
    encoding = encoding_of(encoded)
    run(
        encoded,
        f"INSERT INTO region_tick.creator (source, region_id, platform, url) VALUES ('{SOURCE}', '42', 'http', 'x')",
    )
    with closing(connect(DatabaseUrl.parse(encoded))) as connection:
        claimed = claim(connection, environment(encoded, HANDLER="módulo:función🚀", REGION_CODE="Ł"), lease_seconds=30)
        assert isinstance(claimed, Claimed)
        creator = take_creator(connection, 1, tick_at=TICK_AT, owner="us").creator
        assert creator is not None
        found = Found(items=[Item(id=f"{number} 🚀", title=title) for number, title in enumerate(TITLES)])
        for new in (len(TITLES), 0):  # the same item has the same escape
            with connection.transaction():
                assert save(connection, creator, found) == new
                assert how_many(deliver(connection, 1, creator.upstream_id, on_items=len)) == new
        stored = connection.execute("SELECT title FROM region_tick.item ORDER BY item_id").fetchall()
        assert [title for (title,) in stored] == [escape(title, encoding) for title in TITLES]
        escaped_titles = sum(escape(title, encoding) != title for title in TITLES)
        assert escaped_titles == {"SQL_ASCII": 1, "EUC_JP": 2}.get(encoding, 4)
        assert count_escaped(connection, found.items) == escaped_titles + (
            0 if encoding == "SQL_ASCII" else len(TITLES)
        )
        ending = Ending(
            state=State.FAILED,
            reason="東京 🚀",
            counts={"größe 🚀": 1},
            error=ValueError('Łódź 🚀 \\ " \0'),
            log_lines="Łódź\n東京 🚀 \0",
        )
        assert finish(connection, claimed, ending)
        row = connection.execute("SELECT reason, counts, handler, log_lines FROM region_tick.job_run").fetchone()
    assert row == (
        escape("東京 🚀", encoding), {escape("größe 🚀", encoding): 1}, escape("módulo:función🚀", encoding),
        escape("Łódź\n東京 🚀 ", encoding),
    )  # fmt: skip


async def test_the_ledger_holds_what_the_database_can(encoded: str) -> None:
    encoding = encoding_of(encoded)
    spec = ScheduleSpec(cron="@daily", code="Łódź 🚀", cronjob="a", start_deadline_seconds=60, suspended=True)
    version = ScheduleVersion(
        source=SOURCE, region_id="1", spec=spec, valid_from=datetime.now(UTC), suspended_by="Zoë 🚀"
    )  # fmt: skip
    engine = make_engine(DatabaseUrl.parse(encoded))
    try:
        assert await save_versions(engine, {(SOURCE, "1"): version}, installation="uid") == 1
        async with engine.connect() as connection:
            row = (await connection.execute(text("SELECT code, suspended_by FROM region_tick.region_schedule"))).one()
    finally:
        await engine.dispose()
    assert tuple(row) == (escape("Łódź 🚀", encoding), escape("Zoë 🚀", encoding))


def test_bytes_of_another_encoding_quarantine_their_row_alone(postgres: Server) -> None:
    with database_in(postgres, "SQL_ASCII") as url:
        asyncio.run(migrate(DatabaseUrl.parse(url)))
        run(
            url,
            "ALTER TABLE region_index ALTER id DROP DEFAULT, ALTER id TYPE text, ALTER code TYPE char(8)",
            "INSERT INTO region_index (id, code, name, cron_schedule) VALUES ('1', 'ZRH', 'Zürich', '@daily'),"
            r" ('2', 'GVA', convert_from('\x47656ee8766521', 'SQL_ASCII'), '@daily'),"
            r" (convert_from('\xe9', 'SQL_ASCII'), 'X', 'X', '@daily'),"
            r" ('4', convert_from('\xe8', 'SQL_ASCII'), 'X', '@daily')",
            "INSERT INTO region_tick.creator (source, region_id, platform, url)"
            rf" VALUES ('{SOURCE}', '42', 'http', 'https://e.org/' || convert_from('\xe9', 'SQL_ASCII'))",
        )
        found = {region.id: region for region in asyncio.run(regions(url))}
        assert isinstance(found["1"], RegionRow)
        assert (found["1"].code, found["1"].name) == ("ZRH", "Zürich")
        for region_id, column in (("2", "name"), (r"\xe9", "id"), ("4", "code")):
            quarantined = found[region_id]
            assert isinstance(quarantined, Quarantined)
            assert f"{column} " in quarantined.reason
            assert "is not UTF-8" in quarantined.reason
        with closing(connect(DatabaseUrl.parse(url))) as connection:
            creator = take_creator(connection, 1, tick_at=TICK_AT, owner="us").creator
            assert creator is not None
            assert creator.url == r"https://e.org/\xe9"
            with connection.transaction():
                save(connection, creator, Found(items=[Item(id="a", title="Zürich")]))
                assert how_many(deliver(connection, 1, creator.upstream_id, on_items=len)) == 1
            assert connection.execute("SELECT title FROM region_tick.items").fetchone() == ("Zürich",)


def test_postgres_takes_every_character_that_is_not_escaped(database: str) -> None:
    characters = [chr(code) for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000]
    run(
        database,
        "CREATE FUNCTION fits(t text, e name) RETURNS bool LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM convert_to(t, e); RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END'",
    )
    with psycopg.connect(database) as connection:
        encodings = connection.execute(
            "SELECT pg_encoding_to_char(n) FROM generate_series(1, 34) AS n"
            " WHERE pg_encoding_to_char(n) NOT IN ('UTF8', 'MULE_INTERNAL', '')"
        ).fetchall()
        assert len(encodings) > 30
        for (encoding,) in encodings:
            kept = [character for character in characters if escape(character, encoding) == character]
            wrong = connection.execute(
                "SELECT t FROM unnest(%s::text[]) AS t WHERE NOT fits(t, %s::name)", (kept, encoding)
            ).fetchall()
            assert wrong == [], encoding


POLICY = "CREATE POLICY p{} ON region_index FOR SELECT TO {} USING ({})"


@pytest.mark.parametrize(
    ("statements", "readable"),
    [
        ([], False),
        ([POLICY.format(1, "{role}", "active")], False),
        ([POLICY.format(1, "{role}", "true")], True),
        ([POLICY.format(1, "public", "true")], True),
        ([POLICY.format(1, "postgres", "true")], False),
        (["CREATE POLICY p1 ON region_index TO {role} USING (true)"], True),
        (["CREATE POLICY p1 ON region_index FOR UPDATE TO {role} USING (true)"], False),
        (
            [
                POLICY.format(1, "{role}", "true"),
                "CREATE POLICY p2 ON region_index AS RESTRICTIVE FOR SELECT TO {role} USING (code <> 'B')",
            ],
            False,
        ),
    ],
)
@pytest.mark.parametrize("through_a_view", [False, True])
async def test_row_security_that_hides_rows_is_an_error(
    stranger: Callable[[str], str], database: str, statements: list[str], readable: bool, through_a_view: bool
) -> None:
    url = stranger(database)
    role = DatabaseUrl.parse(url).address.partition("@")[0]
    run(
        database,
        f"GRANT SELECT ON region_index TO {role}",
        "INSERT INTO region_index (code, name, cron_schedule) VALUES ('A', 'A', '@daily'), ('B', 'B', '@daily')",
    )
    assert len(await regions(url)) == 2
    run(database, "ALTER TABLE region_index ENABLE ROW LEVEL SECURITY", *(s.format(role=role) for s in statements))
    source = Source()
    if through_a_view:
        run(database, f"GRANT CREATE ON SCHEMA public TO {role}")
        run(url, "CREATE VIEW shown AS SELECT * FROM region_index")
        source, readable = Source(table="shown"), False
    try:
        if readable:
            assert len(await regions(url, source)) == 2
        else:
            with pytest.raises(
                UnreadableSourceError, match=r'row-level security policy for table "region_index".*POLICY'
            ):
                await regions(url, source)
        assert len(await regions(database)) == 2
    finally:
        run(database, f"DROP OWNED BY {role} CASCADE")


async def test_a_materialized_view_that_is_not_filled_is_unreadable(database: str) -> None:
    run(database, "CREATE MATERIALIZED VIEW mv AS SELECT * FROM region_index WITH NO DATA")
    with pytest.raises(UnreadableSourceError, match=r"has not been populated: REFRESH MATERIALIZED VIEW public\.mv"):
        await regions(database, Source(table="mv"))
