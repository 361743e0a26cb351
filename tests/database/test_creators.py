"""What poll reads and writes, on a real Postgres: whose turn it is, what is kept of an answer, what an edit forgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row

from region_tick.adapters import Creator, Found, Item, NotModified
from region_tick.adapters.youtube_errors import FeedRefusedError
from region_tick.creators import (
    CREDENTIALS_SECONDS,
    GONE_SECONDS,
    ITEM_ID_LIMIT,
    REFUSED_LIMIT_SECONDS,
    REFUSED_SECONDS,
    Creators,
    read_creator,
    read_creators,
    save,
    seconds_to_wait,
)
from region_tick.fetch import CredentialsError, FetchError, GoneError, RefusedError, TransientError
from region_tick.retry import THROTTLED_SECONDS, ThrottledError
from tests.database.schema import run

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "public.region_index"
AT = datetime.now(UTC).replace(second=0, microsecond=0)

TEN_MINUTES_LATER = """
UPDATE region_tick.creator
SET last_polled_at = last_polled_at - interval '10 minutes', not_before = not_before - interval '10 minutes'
"""


def add(connection: psycopg.Connection, url: str = "https://upstream.test/", **columns: Any) -> int:
    row = {"source": SOURCE, "region_id": "42", "platform": "http", "url": url} | columns
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    added = connection.execute(
        f"INSERT INTO region_tick.creator ({names}) VALUES ({values}) RETURNING id", row
    ).fetchone()
    assert added is not None
    return int(added[0])


def read(connection: psycopg.Connection, *, at: datetime = AT) -> Creators:
    return read_creators(connection, source=SOURCE, region_id="42", tick_at=at)


def only(connection: psycopg.Connection, *, at: datetime = AT) -> Creator:
    (creator,) = read(connection, at=at).due
    return creator


def row(connection: psycopg.Connection) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        (row,) = cursor.execute("SELECT *, clock_timestamp() AS now FROM region_tick.creator").fetchall()
    return row


def items(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT item_id, url, title, published_at FROM region_tick.item ORDER BY item_id"
    ).fetchall()


def test_a_regions_own_creators_are_due_the_longest_without_first(connection: psycopg.Connection) -> None:
    recently = add(connection, "https://upstream.test/1", last_polled_at=AT - timedelta(minutes=5))
    never = add(connection, "https://upstream.test/2")
    long_ago = add(connection, "https://upstream.test/3", last_polled_at=AT - timedelta(days=5))
    add(connection, "https://upstream.test/4", region_id="43")
    add(connection, "https://upstream.test/5", source="public.other")
    assert [creator.id for creator in read(connection).due] == [never, long_ago, recently]


def test_who_answered_since_the_ticks_time_is_done(connection: psycopg.Connection) -> None:
    """A second attempt of the tick does the rest."""
    add(connection, "https://upstream.test/1", last_polled_at=AT)
    failed = add(connection, "https://upstream.test/2", last_polled_at=AT - timedelta(minutes=5), failures=1)
    missing = add(connection, "https://upstream.test/3")
    assert {creator.id for creator in read(connection).due} == {failed, missing}
    assert len(read(connection, at=AT + timedelta(minutes=5)).due) == 3


def test_who_failed_the_last_time_comes_last(connection: psycopg.Connection) -> None:
    """Hosts that hang must not use up the time of those that do not, tick after tick."""
    asked = AT - timedelta(minutes=15)
    hangs = add(connection, "https://upstream.test/1", last_error="timeout", not_before=asked)
    recently = add(connection, "https://upstream.test/2", last_polled_at=AT - timedelta(minutes=5))
    assert [creator.id for creator in read(connection).due] == [recently, hangs]


def test_who_is_to_be_left_alone_is_counted(connection: psycopg.Connection) -> None:
    add(connection, "https://upstream.test/1", not_before=datetime.now(UTC) + timedelta(hours=1))
    past = add(connection, "https://upstream.test/2", not_before=datetime.now(UTC) - timedelta(seconds=1))
    found = read(connection)
    assert ([creator.id for creator in found.due], found.waiting) == ([past], 1)


def test_who_waits_keeps_nobody_from_being_due_where_there_are_too_many(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region_tick.creators.CREATORS_LIMIT", 2)
    for number in range(3):
        add(connection, f"https://upstream.test/{number}", not_before=datetime.now(UTC) + timedelta(hours=1))
    due = add(connection)
    found = read(connection)
    assert ([creator.id for creator in found.due], found.waiting) == ([due], 1)


@pytest.mark.parametrize(
    "result", [NotModified(), TransientError("timeout"), RefusedError("404"), ThrottledError("429", 1.0)]
)
def test_where_there_are_too_many_it_is_everybodys_turn(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, result: NotModified | FetchError
) -> None:
    """Whatever comes of them: three at a time of nine are all asked in three ticks, and in three more once again."""
    monkeypatch.setattr("region_tick.creators.CREATORS_LIMIT", 3)
    creators = {add(connection, f"https://upstream.test/{number}") for number in range(9)}
    for _ in range(2):
        asked = []
        for _ in range(3):
            due = read(connection, at=datetime.now(UTC) + timedelta(hours=1)).due
            asked += [creator.id for creator in due]
            for creator in due:
                save(connection, creator, result)
            connection.execute("UPDATE region_tick.creator SET not_before = not_before - interval '1 day'")
        assert sorted(asked) == sorted(creators)


def test_who_failed_the_last_time_counts_as_asked_an_hour_later(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region_tick.creators.CREATORS_LIMIT", 2)
    failed = add(connection, "https://upstream.test/1", last_polled_at=AT - timedelta(minutes=150), last_error="ill")
    well = add(connection, "https://upstream.test/2", last_polled_at=AT - timedelta(minutes=120))
    add(connection, "https://upstream.test/3", last_polled_at=AT - timedelta(minutes=60))
    assert [creator.id for creator in read(connection).due] == [well, failed]


@pytest.mark.parametrize("error", [TransientError("timeout"), RefusedError("404"), ThrottledError("429", 1.0)])
def test_who_failed_once_has_its_turn_again_where_no_tick_has_time_for_all(
    connection: psycopg.Connection, error: FetchError
) -> None:
    """Nine creators, two of whom a tick has time for, every ten minutes: never does a tick get to its end."""
    ill, *_ = (add(connection, f"https://upstream.test/{number}") for number in range(9))
    turns = []
    for tick in range(18):
        for creator in read(connection, at=datetime.now(UTC) + timedelta(hours=1)).due[:2]:
            if creator.id == ill:
                turns.append(tick)
            save(connection, creator, error if creator.id == ill else NotModified())
        connection.execute(TEN_MINUTES_LATER)
    assert turns[0] == 0
    assert len(turns) >= 2, "asked once, never again"
    assert all(later - earlier <= 12 for earlier, later in pairwise(turns))


def test_a_locked_table_does_not_hold_the_tick(connection: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE region_tick.creator")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            read(connection)


def test_an_answer_is_kept_with_its_items(connection: psycopg.Connection) -> None:
    add(connection, last_error="was ill", failures=3)
    found = Found(
        items=[Item(id="a", url="https://upstream.test/a", title="A", published_at=AT), Item(id="b")],
        etag='"1"',
        last_modified="Fri",
        platform_id="UU1",
    )
    assert save(connection, only(connection), found) == 2
    kept = row(connection)
    assert (kept["etag"], kept["last_modified"], kept["platform_id"]) == ('"1"', "Fri", "UU1")
    assert (kept["last_error"], kept["failures"], kept["not_before"]) == (None, 0, None)
    assert kept["last_polled_at"] <= kept["now"]
    assert items(connection) == [("a", "https://upstream.test/a", "A", AT), ("b", None, None, None)]


def test_an_item_is_new_once(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    assert save(connection, creator, Found(items=[Item(id="a", title="first"), Item(id="a", title="twice")])) == 1
    assert save(connection, creator, Found(items=[Item(id="a", title="later"), Item(id="b")])) == 1
    assert [(one[0], one[2]) for one in items(connection)] == [("a", "first"), ("b", None)]


def test_nothing_new_keeps_what_is_known_and_takes_over_the_validators(connection: psycopg.Connection) -> None:
    add(connection, etag='"1"', last_modified="Fri", platform_id="UU1", last_error="was ill", failures=2)
    assert save(connection, only(connection), NotModified(etag='"2"', last_modified="Sat")) == 0
    kept = row(connection)
    assert (kept["etag"], kept["last_modified"], kept["platform_id"]) == ('"2"', "Sat", "UU1")
    assert (kept["last_error"], kept["failures"]) == (None, 0)


def test_a_problem_is_on_record_although_items_were_read(connection: psycopg.Connection) -> None:
    add(connection, etag='"1"', failures=2)
    assert save(connection, only(connection), Found(items=[Item(id="a")], problem="breaks off in line 3")) == 1
    kept = row(connection)
    assert (kept["last_error"], kept["etag"], kept["failures"]) == ("breaks off in line 3", None, 0)


def test_an_answer_without_validators_forgets_the_old_ones(connection: psycopg.Connection) -> None:
    add(connection, etag='"1"', last_modified="Fri")
    save(connection, only(connection), Found(items=[]))
    assert (row(connection)["etag"], row(connection)["last_modified"]) == (None, None)


@pytest.mark.parametrize(
    ("error", "failures", "wait"),
    [
        (TransientError("timeout"), 5, 0.0),
        (ThrottledError("429", 120.0), 0, 120.0),
        (ThrottledError("429", None), 0, THROTTLED_SECONDS),
        (CredentialsError("no key"), 10, CREDENTIALS_SECONDS),
        (RefusedError("404"), 0, REFUSED_SECONDS),
        (RefusedError("404"), 3, 8 * REFUSED_SECONDS),
        (RefusedError("404"), 10**6, REFUSED_LIMIT_SECONDS),
        (FeedRefusedError("404"), 10**6, 3600.0),
        (GoneError("410"), 0, GONE_SECONDS),
    ],
)
def test_how_long_an_error_keeps_a_creator_waiting(error: FetchError, failures: int, wait: float) -> None:
    assert seconds_to_wait(error, failures) == wait


@pytest.mark.parametrize("error", [TransientError("timeout"), ThrottledError("429", 120.0), RefusedError("404")])
def test_an_error_is_on_record_and_what_is_known_stays(connection: psycopg.Connection, error: FetchError) -> None:
    add(connection, etag='"1"', failures=1)
    assert save(connection, only(connection), error) == 0
    kept = row(connection)
    assert (kept["last_error"], kept["etag"]) == (str(error), '"1"')
    assert kept["failures"] == (2 if isinstance(error, RefusedError) else 1)
    assert abs((kept["not_before"] - kept["now"]).total_seconds() - seconds_to_wait(error, 1)) < 30


@pytest.mark.parametrize("error", [TransientError("timeout"), ThrottledError("429", 0.0), CredentialsError("x")])
def test_one_refusal_after_an_outage_is_the_first(connection: psycopg.Connection, error: FetchError) -> None:
    add(connection)
    for _ in range(20):
        save(connection, only(connection), error)
        connection.execute("UPDATE region_tick.creator SET not_before = NULL")
    save(connection, only(connection), RefusedError("404"))
    kept = row(connection)
    assert 0 < (kept["not_before"] - kept["now"]).total_seconds() <= REFUSED_SECONDS


@pytest.mark.parametrize("edit", ["url = 'https://upstream.test/other'", "platform = 'youtube'", "handle = 'x'"])
def test_an_edited_creator_begins_anew_and_an_answer_for_the_old_one_is_dropped(
    connection: psycopg.Connection, edit: str
) -> None:
    add(
        connection,
        etag='"1"',
        last_modified="x",
        platform_id="UU1",
        last_error="x",
        failures=1,
        last_polled_at=AT - timedelta(days=1),
    )
    creator = only(connection)
    connection.execute(f"UPDATE region_tick.creator SET {edit}".encode())
    assert save(connection, creator, Found(items=[Item(id="a")], etag='"2"')) == 0
    save(connection, creator, RefusedError("404"))
    kept = row(connection)
    known = ("etag", "last_modified", "platform_id", "last_error", "not_before", "last_polled_at")
    assert [kept[column] for column in known] == [None] * 6
    assert kept["failures"] == 0
    assert kept["updated_at"] > kept["created_at"]
    assert items(connection) == []


def test_an_edit_of_something_else_forgets_nothing(connection: psycopg.Connection) -> None:
    add(connection, etag='"1"')
    connection.execute("UPDATE region_tick.creator SET region_id = '43', url = url")
    assert row(connection)["etag"] == '"1"'


def test_a_creator_that_was_deleted_meanwhile_leaves_nothing(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    save(connection, creator, Found(items=[Item(id="a")]))
    connection.execute("DELETE FROM region_tick.creator")
    assert items(connection) == []
    assert save(connection, creator, Found(items=[Item(id="b")])) == 0
    save(connection, creator, TransientError("x"))


def test_whatever_an_upstream_sends_can_be_kept(connection: psycopg.Connection) -> None:
    add(connection)
    odd = "\0\ud800\N{PILE OF POO}" * 5000
    published = datetime.min.replace(tzinfo=UTC)
    found = Found(items=[Item(id=odd, url=odd, title=odd, published_at=published)], platform_id=odd)
    assert save(connection, only(connection), found) == 1
    assert save(connection, only(connection, at=AT + timedelta(days=1)), RefusedError(odd)) == 0
    ((item_id, _, title, _),) = items(connection)
    assert len(item_id) <= ITEM_ID_LIMIT
    assert title.startswith("\\ud800\N{PILE OF POO}")


def test_many_items_are_one_statement(connection: psycopg.Connection) -> None:
    add(connection)
    assert save(connection, only(connection), Found(items=[Item(id=str(number)) for number in range(20_000)])) == 20_000


@pytest.mark.parametrize("policy", [[], ["CREATE POLICY half ON region_tick.creator USING (id % 2 = 0)"]])
def test_creators_that_row_security_hides_are_an_error(
    stranger: Callable[[str], str], database: str, connection: psycopg.Connection, policy: list[str]
) -> None:
    url = stranger(database)
    role = urlsplit(url).username
    creator = add(connection)
    connection.commit()
    run(
        database,
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT ON region_tick.creator TO {role}",
    )
    try:
        with psycopg.connect(url) as tick:
            assert only(tick).id == creator
        run(database, "ALTER TABLE region_tick.creator ENABLE ROW LEVEL SECURITY", *policy)
        with psycopg.connect(url) as tick:
            with pytest.raises(InsufficientPrivilege, match='row-level security policy for table "creator"'):
                read(tick)
            with tick.transaction(), pytest.raises(InsufficientPrivilege):
                read_creator(tick, creator, tick_at=AT)
        assert only(connection).id == creator
    finally:
        run(database, f"DROP OWNED BY {role} CASCADE")
