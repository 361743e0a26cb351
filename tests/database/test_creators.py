"""Whose turn it is, on a real Postgres: one upstream for all regions, taken by one tick or worker at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, LockNotAvailable

from region_tick.adapters import Found, Item, NotModified
from region_tick.creators import read_creators, renew, take, take_creator
from region_tick.database_url import DatabaseUrl
from region_tick.fetch import RefusedError, TransientError
from region_tick.retry import ThrottledError
from region_tick.session import connect
from region_tick.turns import Turn
from tests.database.poll_rows import AT, LATER, add, change, only, read, rows, taken, upstream, write
from tests.database.schema import run
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from region_tick.fetch import FetchError

FOUND = Found(items=[Item(id="a")])


def turns(connection: psycopg.Connection, region_id: str = "42", *, at: datetime = AT) -> dict[int, Turn]:
    return {one.id: one.turn for one in read(connection, region_id=region_id, at=at)}


def polled(connection: psycopg.Connection, url: str, *, ago: timedelta, error: str | None = None) -> int:
    """Add a creator whose upstream was polled by this region then."""
    creator = add(connection, url, last_polled_at=AT - ago)
    read(connection)
    connection.execute(
        "UPDATE region_tick.upstream SET last_polled_at = %s, last_error = %s WHERE url = %s", (AT - ago, error, url)
    )
    return creator


def test_a_regions_own_creators_are_due_the_longest_without_first(connection: psycopg.Connection) -> None:
    recently = polled(connection, "https://upstream.test/1", ago=timedelta(minutes=5))
    never = add(connection, "https://upstream.test/2")
    long_ago = polled(connection, "https://upstream.test/3", ago=timedelta(days=5))
    add(connection, "https://upstream.test/4", region_id="43")
    add(connection, "https://upstream.test/5", source="public.other")
    assert list(turns(connection).items()) == [(never, Turn.ASK), (long_ago, Turn.ASK), (recently, Turn.ASK)]


def test_who_answered_since_the_ticks_time_is_done(connection: psycopg.Connection) -> None:
    """A second attempt of the tick does the rest."""
    polled(connection, "https://upstream.test/1", ago=timedelta())
    missing = add(connection, "https://upstream.test/3")
    assert set(turns(connection)) == {missing}
    assert len(turns(connection, at=AT + timedelta(minutes=5))) == 2


def test_who_failed_the_last_time_comes_last(connection: psycopg.Connection) -> None:
    """Hosts that hang must not use up the time of those that do not, tick after tick."""
    hangs = polled(connection, "https://upstream.test/1", ago=timedelta(minutes=15), error="timeout")
    recently = polled(connection, "https://upstream.test/2", ago=timedelta(minutes=5))
    assert list(turns(connection)) == [recently, hangs]


def test_who_is_to_be_left_alone_waits_for_the_upstream_or_for_a_person(connection: psycopg.Connection) -> None:
    paused = add(connection, "https://upstream.test/1", not_before="infinity")
    add(connection, "https://upstream.test/1", region_id="43")
    waiting = add(connection, "https://upstream.test/2")
    read(connection)
    connection.execute("UPDATE region_tick.upstream SET not_before = 'infinity' WHERE url LIKE '%2'")
    assert turns(connection) == {paused: Turn.PAUSED, waiting: Turn.WAITING}
    assert set(turns(connection, "43").values()) == {Turn.ASK}
    assert taken(connection) == []


def test_who_waits_keeps_nobody_from_being_due_where_there_are_too_many(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region_tick.creators.CREATORS_LIMIT", 2)
    for number in range(3):
        add(connection, f"https://upstream.test/{number}", not_before=datetime.now(UTC) + timedelta(hours=1))
    due = add(connection)
    assert next(iter(turns(connection))) == due


TEN_MINUTES_LATER = """
WITH creators AS (
    UPDATE region_tick.creator SET last_polled_at = last_polled_at - interval '10 minutes'
)
UPDATE region_tick.upstream SET
    last_polled_at = last_polled_at - interval '10 minutes', not_before = not_before - interval '10 minutes'
"""


@pytest.mark.parametrize("error", [TransientError("timeout"), RefusedError("404"), ThrottledError("429", 1.0)])
def test_who_failed_once_has_its_turn_again_where_no_tick_has_time_for_all(
    connection: psycopg.Connection, error: FetchError
) -> None:
    """Nine creators, two of whom a tick has time for, every ten minutes: never does a tick get to its end."""
    ill, *_ = (add(connection, f"https://upstream.test/{number}") for number in range(9))
    turns_of_ill = []
    for tick in range(18):
        due = [one.id for one in read(connection, at=LATER) if one.turn is Turn.ASK]
        for creator in take(connection, due[:2], tick_at=LATER, owner="us"):
            if creator.id == ill:
                turns_of_ill.append(tick)
            write(connection, creator, error if creator.id == ill else NotModified())
        connection.execute(TEN_MINUTES_LATER)
    assert turns_of_ill[0] == 0
    assert len(turns_of_ill) >= 2, "asked once, never again"
    assert all(later - earlier <= 12 for earlier, later in pairwise(turns_of_ill))


# One upstream for many regions


def test_creators_of_one_address_have_one_upstream_and_edits_change_it(connection: psycopg.Connection) -> None:
    first, second = add(connection), add(connection, region_id="43")
    other = add(connection, "https://upstream.test/other", handle="a name")
    for region_id in ("42", "43"):
        read(connection, region_id=region_id)
    assert len(rows(connection, "SELECT FROM region_tick.upstream")) == 2
    connection.execute(
        "UPDATE region_tick.creator SET url = (SELECT url FROM region_tick.upstream"
        " WHERE url <> %s), handle = 'a name' WHERE id = %s",
        ("https://upstream.test/", second),
    )
    read(connection, region_id="43")
    found = {
        row["id"]: row["upstream_id"] for row in rows(connection, "SELECT id, upstream_id FROM region_tick.creator")
    }
    assert found[second] == found[other] != found[first]


def test_an_answer_of_another_regions_tick_is_taken_and_the_next_one_is_asked_for(
    connection: psycopg.Connection,
) -> None:
    """Once within the shorter interval: whoever has had the last answer asks, all others take what is there."""
    first, second = add(connection), add(connection, region_id="43")
    write(connection, only(connection), FOUND)
    assert turns(connection, "43") == {second: Turn.SHARED}
    assert taken(connection, second) == []
    assert turns(connection, at=LATER) == {first: Turn.ASK}


def test_a_new_creator_takes_an_answer_of_the_last_hour_only(connection: psycopg.Connection) -> None:
    add(connection)
    write(connection, only(connection), FOUND)
    new = add(connection, region_id="43")
    assert turns(connection, "43") == {new: Turn.SHARED}
    change(connection, last_polled_at=AT - timedelta(hours=2))
    assert turns(connection, "43") == {new: Turn.ASK}


def test_an_upstream_is_taken_by_one_at_a_time(connection: psycopg.Connection, database: str) -> None:
    ids = [add(connection, f"https://upstream.test/{number}", region_id=str(region))
           for region in range(8) for number in range(50)]  # fmt: skip

    def take_all(region: int) -> list[int]:
        with closing(connect(DatabaseUrl.parse(database))) as own:
            due = read(own, region_id=str(region), owner=str(region))
            return [one.upstream_id for one in take(own, [one.id for one in due], tick_at=AT, owner=str(region))]

    with ThreadPoolExecutor(8) as threads:
        upstreams = [upstream for taken in threads.map(take_all, range(8)) for upstream in taken]
    assert len(ids) == 400
    assert len(upstreams) == len(set(upstreams)) == 50


def test_whoever_asks_holds_the_upstream_for_a_while_and_a_later_attempt_goes_on(
    connection: psycopg.Connection,
) -> None:
    first, second = add(connection), add(connection, region_id="43")
    (creator,) = taken(connection, owner="tick 1")
    assert turns(connection, "43") == {second: Turn.ELSEWHERE}
    assert turns(connection) == {first: Turn.ELSEWHERE}
    assert taken(connection, owner="tick 1") == [creator], "a later attempt of the same tick"
    change(connection, asking_until=AT - timedelta(minutes=1))
    assert turns(connection, "43") == {second: Turn.ASK}


def test_a_lease_is_renewed_and_given_back_by_its_owner_only(connection: psycopg.Connection) -> None:
    add(connection)
    (creator,) = taken(connection, owner="tick 1")
    before = upstream(connection)["asking_until"]
    renew(connection, [creator], owner="tick 2", seconds=0)
    assert upstream(connection)["asking_until"] == before
    renew(connection, [creator], owner="tick 1", seconds=600)
    assert (upstream(connection)["asking_until"] - before).total_seconds() > 500
    renew(connection, [creator], owner="tick 1", seconds=0)
    assert upstream(connection)["asking_until"] <= upstream(connection)["now"]


def test_a_locked_row_costs_itself_only(connection: psycopg.Connection, database: str) -> None:
    locked, free = add(connection, "https://upstream.test/1"), add(connection, "https://upstream.test/2")
    with psycopg.connect(database) as other:
        other.execute("UPDATE region_tick.creator SET last_error = 'x' WHERE id = %s", (locked,))
        assert turns(connection) == {locked: Turn.LOCKED, free: Turn.ASK}
        (creator,) = taken(connection)
        assert write(connection, creator, FOUND) == 1
    assert turns(connection, at=LATER)[locked] is Turn.ASK
    with psycopg.connect(database) as other:
        other.execute("UPDATE region_tick.creator SET last_error = 'x' WHERE id = %s", (locked,))
        (creator,) = taken(connection, locked)
        assert write(connection, creator, FOUND) is None, "stored, and delivered by the next tick"
    assert turns(connection) == {locked: Turn.SHARED}


def test_a_locked_upstream_is_left_out(connection: psycopg.Connection, database: str) -> None:
    add(connection, "https://upstream.test/1")
    free = add(connection, "https://upstream.test/2")
    read(connection)
    with psycopg.connect(database) as other:
        other.execute("UPDATE region_tick.upstream SET last_error = 'x' WHERE url LIKE '%1'")
        assert [creator.id for creator in taken(connection)] == [free]


def test_a_locked_table_does_not_hold_the_tick(connection: psycopg.Connection, database: str) -> None:
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE region_tick.creator")
        with pytest.raises(LockNotAvailable):
            read(connection)


# One creator, as a worker takes it


def test_a_worker_takes_one_creator(connection: psycopg.Connection) -> None:
    first, second = add(connection), add(connection, region_id="43")
    one = take_creator(connection, first, tick_at=AT, owner="task 1")
    assert one.turn is Turn.ASK
    assert one.creator is not None
    assert abs((datetime.now(UTC) - one.now).total_seconds()) < 60
    other = take_creator(connection, second, tick_at=AT, owner="task 2")
    assert (other.turn, other.creator) == (Turn.ELSEWHERE, None)
    write(connection, one.creator, FOUND)
    assert take_creator(connection, second, tick_at=AT, owner="task 2").turn is Turn.SHARED
    assert take_creator(connection, first, tick_at=AT, owner="task 1").turn is Turn.DONE
    assert take_creator(connection, 10**9, tick_at=AT, owner="task 1").turn is Turn.DONE
    change(connection, not_before=LATER + timedelta(days=1))
    waiting = take_creator(connection, first, tick_at=LATER, owner="task 1")
    assert (waiting.turn, waiting.upstream_id) == (Turn.WAITING, one.upstream_id)


@pytest.mark.parametrize("policy", [[], ["CREATE POLICY half ON region_tick.creator USING (id % 2 = 0)"]])
def test_creators_that_row_security_hides_are_an_error(
    stranger: Callable[[str], str], database: str, connection: psycopg.Connection, policy: list[str]
) -> None:
    url = stranger(database)
    role = urlsplit(url).username
    creator = add(connection)
    run(
        database,
        f"GRANT USAGE ON SCHEMA region_tick TO {role}",
        f"GRANT SELECT, UPDATE ON region_tick.creator TO {role}",
        f"GRANT SELECT, INSERT, UPDATE ON region_tick.upstream TO {role}",
    )
    try:
        with psycopg.connect(url) as tick:
            assert set(turns(tick)) == {creator}
        run(database, "ALTER TABLE region_tick.creator ENABLE ROW LEVEL SECURITY", *policy)
        with psycopg.connect(url) as tick:
            with pytest.raises(InsufficientPrivilege, match='row-level security policy for table "creator"'):
                read_creators(tick, source=SOURCE, region_id="42", tick_at=AT, owner="us")
            with pytest.raises(InsufficientPrivilege):
                take_creator(tick, creator, tick_at=AT, owner="us")
        assert set(turns(connection)) == {creator}
    finally:
        run(database, f"DROP OWNED BY {role} CASCADE")
