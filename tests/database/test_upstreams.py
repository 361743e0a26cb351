"""What is kept of an answer, and how long a failure keeps an upstream from being asked, on a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from region_tick.adapters import Creator, Found, Item, Kind, NotModified
from region_tick.fetch import CredentialsError, FetchError, GoneError, NoSuchHostError, RefusedError, TransientError
from region_tick.items import ITEM_ID_LIMIT
from region_tick.retry import THROTTLED_SECONDS, ThrottledError
from region_tick.upstreams import (
    CREDENTIALS_SECONDS,
    GONE_SECONDS,
    NO_SUCH_HOST_FAILURES,
    REFUSED_LIMIT_SECONDS,
    REFUSED_SECONDS,
    TRANSIENT_LIMIT_SECONDS,
    TRANSIENT_SECONDS,
    forgive,
    save,
    seconds_to_wait,
)
from tests.database.poll_rows import AT, LATER, add, change, only, rows, taken, upstream, write

if TYPE_CHECKING:
    import psycopg


def stored(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    query = "SELECT item_id, url, title, published_at FROM region_tick.upstream_item ORDER BY item_id"
    return [tuple(row.values()) for row in rows(connection, query)]


def test_an_answer_is_kept_with_its_items(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    change(connection, last_error="was ill", failures=3, transient_failures=2)
    found = Found(
        items=[Item(id="a", url="https://upstream.test/a", title="A", published_at=AT), Item(id="b")],
        etag='"1"',
        last_modified="Fri",
        platform_id="UU1",
        kind=Kind.FEED,
        moved_to="https://upstream.test/moved",
    )
    assert save(connection, creator, found) == 2
    kept = upstream(connection)
    assert (kept["etag"], kept["last_modified"], kept["platform_id"], kept["kind"]) == ('"1"', "Fri", "UU1", "feed")
    assert (kept["last_error"], kept["failures"], kept["transient_failures"], kept["not_before"]) == (None, 0, 0, None)
    assert (kept["asking_until"], kept["moved_to"]) == (None, "https://upstream.test/moved")
    assert kept["last_polled_at"] <= kept["now"]
    assert stored(connection) == [("a", "https://upstream.test/a", "A", AT), ("b", None, None, None)]


def test_an_item_is_new_once_also_after_it_was_deleted(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    assert save(connection, creator, Found(items=[Item(id="a", title="first"), Item(id="a", title="twice")])) == 1
    assert save(connection, creator, Found(items=[Item(id="a", title="later"), Item(id="b")])) == 1
    assert [(one[0], one[2]) for one in stored(connection)] == [("a", "first"), ("b", None)]
    connection.execute("DELETE FROM region_tick.upstream_item")
    assert save(connection, creator, Found(items=[Item(id="a"), Item(id="b"), Item(id="c")])) == 1
    assert [one[0] for one in stored(connection)] == ["c"]


def test_the_first_answer_is_backlog_and_the_newest_item_has_the_largest_number(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    save(connection, creator, Found(items=[Item(id="newest"), Item(id="oldest")]))
    save(connection, creator, Found(items=[Item(id="news"), Item(id="newest")]))
    found = rows(connection, "SELECT item_id, backlog FROM region_tick.upstream_item ORDER BY id")
    assert [tuple(row.values()) for row in found] == [("oldest", True), ("newest", True), ("news", False)]


def test_nothing_new_keeps_what_is_known_and_takes_the_new_validators(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    change(connection, etag='"1"', platform_id="UU1", last_error="was ill", failures=2)
    assert save(connection, creator, NotModified(etag='"2"', last_modified="Fri")) == 0
    kept = upstream(connection)
    assert (kept["etag"], kept["last_modified"], kept["platform_id"]) == ('"2"', "Fri", "UU1")
    assert (kept["last_error"], kept["failures"]) == (None, 0)


def test_an_answer_without_validators_forgets_the_old_ones(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    change(connection, etag='"1"', last_modified="Fri")
    save(connection, creator, Found(items=[], problem="the document is cut off"))
    kept = upstream(connection)
    assert (kept["etag"], kept["last_modified"], kept["last_error"]) == (None, None, "the document is cut off")


def test_a_feed_that_moved_is_asked_there_until_that_refuses(connection: psycopg.Connection) -> None:
    add(connection)
    moved = Found(items=[], kind=Kind.FEED, moved_to="https://upstream.test/moved")
    write(connection, only(connection), moved)
    creator = only(connection, at=LATER)
    assert (creator.url, creator.kind) == ("https://upstream.test/moved", Kind.FEED)
    write(connection, creator, TransientError("timeout"))
    change(connection, not_before=None)
    assert only(connection, at=LATER).url == "https://upstream.test/moved"
    write(connection, creator, RefusedError("404"))
    change(connection, not_before=None)
    assert only(connection, at=LATER).url == "https://upstream.test/"


def test_a_page_that_moved_is_asked_where_it_was(connection: psycopg.Connection) -> None:
    add(connection)
    write(connection, only(connection), Found(items=[], kind=Kind.PAGE, moved_to="https://upstream.test/notice"))
    assert only(connection, at=LATER).url == "https://upstream.test/"


def known(*, failures: int = 0, transient_failures: int = 0) -> Creator:
    return Creator(
        id=1, platform="http", handle=None, url="x", failures=failures, transient_failures=transient_failures
    )


@pytest.mark.parametrize(
    ("error", "failures", "wait"),
    [
        (ThrottledError("429", 120.0), 0, 120.0),
        (ThrottledError("429", None), 0, THROTTLED_SECONDS),
        (CredentialsError("no key"), 10, CREDENTIALS_SECONDS),
        (GoneError("410"), 0, GONE_SECONDS),
        (RefusedError("404"), 0, REFUSED_SECONDS),
        (RefusedError("404"), 3, 8 * REFUSED_SECONDS),
        (RefusedError("404"), 10**6, REFUSED_LIMIT_SECONDS),
    ],
)
def test_how_long_an_error_keeps_an_upstream_waiting(error: FetchError, failures: int, wait: float) -> None:
    assert seconds_to_wait(error, known(failures=failures)) == wait


@pytest.mark.parametrize(
    ("before", "longest"),
    [(0, TRANSIENT_SECONDS), (3, 8 * TRANSIENT_SECONDS), (10**6, TRANSIENT_LIMIT_SECONDS)],
)
def test_what_may_pass_by_itself_waits_longer_each_time_and_not_together(before: int, longest: float) -> None:
    waits = [seconds_to_wait(TransientError("timeout"), known(transient_failures=before)) for _ in range(200)]
    assert longest / 2 <= min(waits) < max(waits) <= longest
    assert max(waits) - min(waits) > longest / 4


def test_a_name_that_does_not_exist_is_a_refusal_after_a_few(connection: psycopg.Connection) -> None:
    add(connection)
    for _ in range(NO_SUCH_HOST_FAILURES + 1):
        save(connection, only(connection), NoSuchHostError("no such host"))
        change(connection, not_before=None)
    assert upstream(connection)["failures"] == 1
    waits = [
        seconds_to_wait(NoSuchHostError("no such host"), known(transient_failures=before))
        for before in (NO_SUCH_HOST_FAILURES - 1, 20)
    ]
    assert waits[0] <= 8 * TRANSIENT_SECONDS < REFUSED_LIMIT_SECONDS / 2 <= waits[1]


@pytest.mark.parametrize(
    ("error", "failures", "transient_failures"),
    [
        (TransientError("timeout"), 1, 3),
        (ThrottledError("429", 120.0), 1, 2),
        (CredentialsError("x"), 1, 2),
        (RefusedError("404"), 2, 2),
    ],
)
def test_an_error_is_on_record_and_what_is_known_stays(
    connection: psycopg.Connection, error: FetchError, failures: int, transient_failures: int
) -> None:
    add(connection)
    read_before = only(connection)
    change(connection, etag='"1"', failures=1, transient_failures=2)
    assert save(connection, read_before, error) == 0
    kept = upstream(connection)
    assert (kept["last_error"], kept["etag"], kept["asking_until"]) == (str(error), '"1"', None)
    assert (kept["failures"], kept["transient_failures"]) == (failures, transient_failures)
    assert kept["not_before"] > kept["now"]
    assert taken(connection) == []


def test_one_refusal_after_an_outage_is_the_first(connection: psycopg.Connection) -> None:
    add(connection)
    for _ in range(20):
        save(connection, only(connection), TransientError("timeout"))
        change(connection, not_before=None)
    save(connection, only(connection), RefusedError("404"))
    kept = upstream(connection)
    assert 0 < (kept["not_before"] - kept["now"]).total_seconds() <= REFUSED_SECONDS


def test_where_the_fault_may_be_ours_they_are_asked_again_at_once(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    save(connection, creator, TransientError("no network"))
    forgive(connection, [creator])
    assert only(connection).transient_failures == 1


def test_an_upstream_that_was_deleted_meanwhile_leaves_nothing(connection: psycopg.Connection) -> None:
    add(connection)
    creator = only(connection)
    save(connection, creator, Found(items=[Item(id="a")]))
    connection.execute("DELETE FROM region_tick.upstream")
    assert stored(connection) == []
    assert save(connection, creator, Found(items=[Item(id="b")])) == 0
    save(connection, creator, TransientError("x"))
    assert rows(connection, "SELECT FROM region_tick.seen") == []


def test_whatever_an_upstream_sends_can_be_kept(connection: psycopg.Connection) -> None:
    add(connection)
    odd = "\0\ud800\N{PILE OF POO}" * 5000
    published = datetime.min.replace(tzinfo=UTC)
    raw = {odd[:300]: [odd[:300], 1, None, {"a": "\\u0000 \u2028"}]}
    item = Item(id=odd, url=odd, title=odd, author=odd, summary=odd, raw=raw, published_at=published)
    assert save(connection, only(connection), Found(items=[item], platform_id=odd)) == 1
    assert save(connection, only(connection, at=AT + timedelta(days=1)), RefusedError(odd)) == 0
    ((item_id, _, title, _),) = stored(connection)
    assert isinstance(item_id, str)
    assert len(item_id) <= ITEM_ID_LIMIT
    assert str(title).startswith("\\ud800\N{PILE OF POO}")
    (row,) = rows(connection, "SELECT raw FROM region_tick.upstream_item")
    assert [one[1:] for one in row["raw"].values()] == [[1, None, {"a": "\\u0000 \u2028"}]]


def test_a_raw_entry_that_is_no_json_is_kept_as_far_as_it_is(connection: psycopg.Connection) -> None:
    add(connection)
    deep: list[object] = []
    for _ in range(20_000):
        deep = [deep]
    items = [Item(id="a", raw={"n": float("nan"), "i": float("inf"), "x": 1.5}), Item(id="b", raw={"deep": deep})]
    assert save(connection, only(connection), Found(items=items)) == 2
    kept = rows(connection, "SELECT raw FROM region_tick.upstream_item ORDER BY item_id")
    assert [row["raw"] for row in kept] == [{"n": None, "i": None, "x": 1.5}, None]


def test_many_items_are_one_statement(connection: psycopg.Connection) -> None:
    add(connection)
    assert save(connection, only(connection), Found(items=[Item(id=str(number)) for number in range(20_000)])) == 20_000
