"""Each region gets each item once, with a number; a function of the user's shares the transaction. A real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_tick.adapters import Found, Item, Kind, NotModified
from region_tick.delivery import (
    DELIVERED_AT_ONCE,
    GIVEN_AT_ONCE,
    ITEMS_CHANNEL,
    Delivered,
    NewItem,
    deliver,
    deliver_nothing,
    keep_up,
)
from region_tick.fetch import TransientError
from region_tick.turns import Turn
from region_tick.upstreams import save
from tests.database.poll_rows import AT, LATER, add, change, how_many, item_ids, only, read, rows, write
from tests.harness.ticks import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def found(*ids: str) -> Found:
    return Found(items=[Item(id=one) for one in ids])


def give(connection: psycopg.Connection, creator_id: int) -> int | None:
    """Deliver to one creator's region, as its tick does."""
    return how_many(give_all(connection, creator_id))


def give_all(
    connection: psycopg.Connection, creator_id: int, on_items: Callable[[Sequence[NewItem]], object] | None = None
) -> Delivered | None:
    (upstream,) = rows(connection, "SELECT upstream_id FROM region_tick.creator WHERE id = %s", creator_id)
    with connection.transaction():
        return deliver(connection, creator_id, upstream["upstream_id"], on_items=on_items)


def test_what_one_regions_tick_fetched_the_other_region_gets_too_once(connection: psycopg.Connection) -> None:
    first, second = add(connection), add(connection, region_id="43")
    assert write(connection, only(connection), found("b", "a")) == 2
    read(connection, region_id="43")
    assert [give(connection, second), give(connection, second), give(connection, first)] == [2, 0, 0]
    assert item_ids(connection) == item_ids(connection, "43") == ["a", "b"]
    assert [one.turn for one in read(connection, region_id="43", at=LATER)] == [Turn.ASK], "had the last answer"


def test_the_creators_row_says_what_became_of_it(connection: psycopg.Connection) -> None:
    creator = add(connection)
    write(connection, only(connection), TransientError("timeout"))
    (row,) = rows(connection, "SELECT last_error, last_polled_at, failures FROM region_tick.creator")
    assert row == {"last_error": "timeout", "last_polled_at": None, "failures": 0}
    change(connection, not_before=None)
    write(connection, only(connection), found("a"))
    (row,) = rows(
        connection,
        "SELECT creator.last_error, creator.last_polled_at = upstream.last_polled_at AS same,"
        " delivered_until = last_item AS all"
        " FROM region_tick.creator JOIN region_tick.upstream ON upstream.id = upstream_id",
    )
    assert row == {"last_error": None, "same": True, "all": True}
    assert creator


def test_the_view_has_all_that_is_known(connection: psycopg.Connection) -> None:
    creator = add(connection, handle="a label")
    connection.execute(
        "INSERT INTO region_tick.region_schedule"
        " (source, region_id, cron, code, valid_from, cronjob, start_deadline_seconds)"
        " VALUES (%s, '42', '@daily', 'ch-zrh', %s, 'r', 60)",
        (SOURCE, AT),
    )
    item = Item(
        id="a",
        url="https://upstream.test/a",
        title="A",
        author="Ada",
        summary="About",
        raw={"guid": "a", "category": ["x"]},
        published_at=AT,
    )
    write(connection, only(connection), Found(items=[item], kind=Kind.FEED))
    (row,) = rows(connection, "SELECT *, first_seen_at <= clock_timestamp() AS seen FROM region_tick.items")
    assert row.pop("seq") == 1
    assert row.pop("first_seen_at")
    assert row == {
        "source": SOURCE,
        "region_id": "42",
        "region_code": "ch-zrh",
        "creator_id": creator,
        "platform": "http",
        "handle": "a label",
        "creator_url": "https://upstream.test/",
        "item_id": "a",
        "url": "https://upstream.test/a",
        "title": "A",
        "author": "Ada",
        "summary": "About",
        "raw": {"guid": "a", "category": ["x"]},
        "published_at": AT,
        "backlog": True,
        "seen": True,
    }


def test_backlog_is_what_was_there_before_the_creator(connection: psycopg.Connection) -> None:
    add(connection)
    write(connection, only(connection), found("old"))
    write(connection, only(connection, at=LATER), found("news", "old"))
    new = add(connection, region_id="43")
    write(connection, only(connection, at=LATER + timedelta(hours=1)), found("newest", "news", "old"))
    read(connection, region_id="43")
    give(connection, new)
    query = "SELECT item_id, backlog FROM region_tick.items WHERE region_id = %s ORDER BY seq"
    seen = {
        region: [(row["item_id"], row["backlog"]) for row in rows(connection, query, region)] for region in ("42", "43")
    }
    assert seen["42"] == [("old", True), ("news", False), ("newest", False)]
    assert seen["43"] == [("old", True), ("news", True), ("newest", False)]


def test_many_items_come_in_several_transactions(connection: psycopg.Connection) -> None:
    creator = add(connection)
    many = DELIVERED_AT_ONCE + 10
    assert write(connection, only(connection), found(*map(str, range(many)))) == DELIVERED_AT_ONCE
    assert [give(connection, creator), give(connection, creator)] == [10, 0]
    assert len(set(item_ids(connection))) == many


def test_there_may_be_more_also_where_the_region_has_all_of_the_first_ones(connection: psycopg.Connection) -> None:
    """After the upgrade, every region has what an earlier release gave it."""
    creator = add(connection)
    write(connection, only(connection), found(*map(str, range(DELIVERED_AT_ONCE))))
    write(connection, only(connection, at=LATER), found("news"))
    connection.execute("DELETE FROM region_tick.item WHERE item_id = 'news'")
    connection.execute("UPDATE region_tick.creator SET delivered_until = 0")
    given = [give_all(connection, creator) for _ in range(3)]
    assert given == [Delivered(items=items, more=more) for items, more in ((0, True), (1, False), (0, False))]


def test_the_function_gets_a_hundred_at_a_time(connection: psycopg.Connection) -> None:
    creator = add(connection)
    read(connection)
    with connection.transaction():
        save(connection, only(connection), found(*map(str, range(GIVEN_AT_ONCE + 1))))
    sizes: list[int] = []
    given = [give_all(connection, creator, lambda items: sizes.append(len(items))) for _ in range(2)]
    assert given == [Delivered(items=GIVEN_AT_ONCE, more=True), Delivered(items=1, more=False)]
    assert sizes == [GIVEN_AT_ONCE, 1]


@pytest.mark.parametrize("on_items", [None, len])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_any_year_can_be_read_in_any_time_zone(
    connection: psycopg.Connection, zone: str, on_items: Callable[[Sequence[NewItem]], object] | None
) -> None:
    connection.execute(f"SET timezone TO '{zone}'".encode())
    years = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)]
    creator = add(connection)
    with connection.transaction():
        items = [Item(id=str(year), published_at=year) for year in years]
        save(connection, only(connection), Found(items=items))
    came: list[datetime | None] = []
    hook = on_items and (lambda items: came.extend(one.published_at for one in items))
    assert give_all(connection, creator, hook) == Delivered(items=2, more=False)
    assert sorted(filter(None, came)) == (years if on_items else [])


def test_what_an_earlier_release_wrote_is_not_delivered_again(connection: psycopg.Connection) -> None:
    creator = add(connection)
    connection.execute("INSERT INTO region_tick.item (creator_id, item_id) VALUES (%s, 'a')", (creator,))
    seen: list[str] = []
    taken = only(connection)
    with connection.transaction():
        save(connection, taken, found("b", "a"))
        deliver(connection, creator, taken.upstream_id, on_items=lambda new: seen.extend(one.item_id for one in new))
    assert seen == ["b"]
    assert item_ids(connection) == ["a", "b"]


def test_a_creator_that_was_edited_or_deleted_meanwhile_gets_nothing(connection: psycopg.Connection) -> None:
    add(connection)
    edited = only(connection)
    connection.execute("UPDATE region_tick.creator SET url = 'https://upstream.test/other'")
    assert write(connection, edited, found("a")) is None
    (row,) = rows(connection, "SELECT last_polled_at, updated_at > created_at AS edited FROM region_tick.creator")
    assert row == {"last_polled_at": None, "edited": True}
    deleted = only(connection)
    connection.execute("DELETE FROM region_tick.creator")
    assert write(connection, deleted, found("b")) is None
    assert rows(connection, "SELECT FROM region_tick.item") == []


def test_what_was_deleted_does_not_come_again(connection: psycopg.Connection) -> None:
    """By retention, or by a person: also not where the feed still shows it."""
    add(connection)
    write(connection, only(connection), found("a"))
    connection.execute("DELETE FROM region_tick.item")
    connection.execute("DELETE FROM region_tick.upstream_item")
    write(connection, only(connection, at=LATER), found("b", "a"))
    assert item_ids(connection) == ["b"]


# The user's function


def test_the_function_gets_the_items_and_its_writes_are_committed_with_them(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE effect (item text)")
    creator = add(connection)
    taken = only(connection)

    def on_items(items: Sequence[NewItem]) -> None:
        assert all(isinstance(one, NewItem) for one in items)
        assert {(one.creator_id, one.platform, one.backlog) for one in items} == {(creator, "http", True)}
        connection.execute("INSERT INTO effect SELECT unnest(%s::text[])", ([one.item_id for one in items],))

    def fails(items: Sequence[NewItem]) -> None:
        on_items(items)
        raise ZeroDivisionError

    with connection.transaction():
        save(connection, taken, found("b", "a"))
        with pytest.raises(ZeroDivisionError), connection.transaction():
            deliver(connection, creator, taken.upstream_id, on_items=fails)
    assert (rows(connection, "SELECT FROM effect"), item_ids(connection)) == ([], [])
    with connection.transaction():
        deliver(connection, creator, taken.upstream_id, on_items=on_items)
    assert [row["item"] for row in rows(connection, "SELECT item FROM effect")] == ["a", "b"] == item_ids(connection)


def test_where_the_function_failed_the_same_items_come_again(connection: psycopg.Connection) -> None:
    creator = add(connection)
    taken = only(connection)
    with connection.transaction():
        save(connection, taken, found("a"))
        deliver_nothing(connection, creator, error="on_items: ValueError: x")
    (row,) = rows(connection, "SELECT last_error FROM region_tick.creator")
    assert row["last_error"] == "on_items: ValueError: x"
    assert [(one.turn, one.undelivered) for one in read(connection, at=LATER)] == [(Turn.ASK, True)]
    assert write(connection, only(connection, at=LATER), found("b", "a")) == 2
    assert item_ids(connection) == ["a", "b"]


# Many creators without news, and notifications


def test_creators_without_news_keep_up_in_one_statement(connection: psycopg.Connection, database: str) -> None:
    first, second, third = (add(connection, f"https://upstream.test/{number}", region_id="43") for number in range(3))
    for number in range(3):
        add(connection, f"https://upstream.test/{number}")
    for creator in [only_one for one in read(connection) for only_one in _taken(connection, one.id)]:
        write(connection, creator, found("a") if creator.url and creator.url.endswith("2") else NotModified())
    read(connection, region_id="43")
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM region_tick.creator WHERE id = %s FOR UPDATE", (second,))
        assert keep_up(connection, [first, second, third]) == 1
    turns = {one.id: (one.turn, one.undelivered) for one in read(connection, region_id="43")}
    assert turns == {second: (Turn.SHARED, False), third: (Turn.SHARED, True)}


def _taken(connection: psycopg.Connection, creator: int) -> list[Any]:
    from region_tick.creators import take

    return take(connection, [creator], tick_at=AT, owner="us")


def test_listeners_are_told_once_for_each_transaction_with_items(connection: psycopg.Connection, database: str) -> None:
    add(connection)
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute(f"LISTEN {ITEMS_CHANNEL}")
        write(connection, only(connection), found("a", "b"))
        write(connection, only(connection, at=LATER), NotModified())
        write(connection, only(connection, at=LATER + timedelta(hours=1)), found("c"))
        told = [note.payload for note in listener.notifies(timeout=60, stop_after=2)]
        assert told == [SOURCE, SOURCE]
        assert list(listener.notifies(timeout=0.2)) == []


def test_creators_of_no_region_are_named(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO region_tick.region_schedule"
        " (source, region_id, cron, code, valid_from, cronjob, start_deadline_seconds)"
        " VALUES (%s, '42', '@daily', 'ch-zrh', %s, 'r', 60)",
        (SOURCE, AT),
    )
    add(connection)
    lost = {add(connection, source="region_index"), add(connection, region_id="ch-zrh")}
    named = rows(connection, "SELECT creator_id FROM region_tick.creators_without_region")
    assert {row["creator_id"] for row in named} == lost
