"""Revision 0011 unites what the creators of one address have found, keeps it all, and lets the release before go on."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from region_operator.database.migrate import migrate
from region_tick.database_url import DatabaseUrl
from tests.database.schema import migrate_before, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEED = "https://upstream.test/feed"

CREATORS = f"""
INSERT INTO region_tick.creator
    (id, source, region_id, platform, handle, url, etag, last_polled_at, last_error, failures, not_before) VALUES
    (1, 's', 'a', 'http', NULL, '{FEED}', '"1"', now() - interval '2 hours', 'was ill', 3, now() + interval '1 hour'),
    (2, 's', 'b', 'http', NULL, '{FEED}', '"2"', now() - interval '1 hour', NULL, 0, NULL),
    (3, 's', 'a', 'http', NULL, 'https://upstream.test/other', '"3"', now(), NULL, 0, 'infinity'),
    (4, 's', 'a', 'youtube', '@x', NULL, NULL, NULL, NULL, 0, NULL),
    (5, 's', 'a', 'tiktok', '@x', NULL, NULL, NULL, NULL, 0, NULL)
"""
ITEMS = """
INSERT INTO region_tick.item (creator_id, item_id, title, first_seen_at) VALUES
    (1, 'both', 'first', now() - interval '3 hours'),
    (2, 'both', 'later', now() - interval '2 hours'),
    (1, 'of a', NULL, now() - interval '4 hours'),
    (2, 'of b', NULL, now() - interval '1 hour'),
    (3, 'sha256:0123', 'of another', now() - interval '5 hours')
"""


@pytest.fixture
def at_0010(empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of a database as the release before 0011 left it."""
    migrate_before("0011", empty_database, monkeypatch, tmp_path)
    return empty_database


@pytest.fixture
def migrated(at_0010: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with creators and items of the release before, which was migrated."""
    run(at_0010, CREATORS, ITEMS)
    asyncio.run(migrate(DatabaseUrl.parse(at_0010)))
    with closing(psycopg.connect(at_0010, autocommit=True)) as connection:
        yield connection


def rows(connection: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def test_creators_of_one_address_have_one_upstream(migrated: psycopg.Connection) -> None:
    together = "SELECT array_agg(id ORDER BY id) FROM region_tick.creator GROUP BY upstream_id ORDER BY 1"
    assert rows(migrated, together) == [([1, 2],), ([3],), ([4],), ([5],)]


def test_no_upstream_starts_with_a_validator_and_each_with_its_latest_state(migrated: psycopg.Connection) -> None:
    assert rows(migrated, "SELECT count(*) FROM region_tick.upstream WHERE etag IS NOT NULL") == [(0,)]
    (feed,) = rows(
        migrated,
        "SELECT last_polled_at = (SELECT max(last_polled_at) FROM region_tick.creator WHERE id IN (1, 2)),"
        f" last_error, failures, not_before > now() FROM region_tick.upstream WHERE url = '{FEED}'",
    )
    assert feed == (True, None, 0, True)


def test_a_persons_pause_stays_the_creators_own(migrated: psycopg.Connection) -> None:
    """Other regions may poll the same upstream."""
    (paused,) = rows(
        migrated,
        "SELECT creator.not_before = 'infinity', upstream.not_before FROM region_tick.creator"
        " JOIN region_tick.upstream ON upstream.id = upstream_id WHERE creator.id = 3",
    )
    assert paused == (True, None)


def test_a_machines_pause_goes_to_the_upstream(migrated: psycopg.Connection) -> None:
    """It would not end with the upstream's next answer otherwise."""
    assert rows(migrated, "SELECT id FROM region_tick.creator WHERE not_before IS NOT NULL") == [(3,)]


def test_an_upstream_with_entries_is_a_feed(migrated: psycopg.Connection) -> None:
    kinds = "SELECT kind FROM region_tick.creator JOIN region_tick.upstream ON upstream.id = upstream_id"
    assert rows(migrated, f"{kinds} ORDER BY creator.id") == [("feed",), ("feed",), (None,), (None,), (None,)]


def test_a_region_that_shares_its_upstream_with_nobody_has_all_items(migrated: psycopg.Connection) -> None:
    known = "SELECT creator.id, delivered_until = last_item FROM region_tick.creator"
    join = "JOIN region_tick.upstream ON upstream.id = upstream_id WHERE last_item > 0 ORDER BY creator.id"
    assert rows(migrated, f"{known} {join}") == [(1, False), (2, False), (3, True)]


def test_items_are_united_each_as_it_was_first_seen(migrated: psycopg.Connection) -> None:
    united = (
        "SELECT upstream.url LIKE '%feed', item_id, title FROM region_tick.upstream_item AS published"
        " JOIN region_tick.upstream ON upstream.id = upstream_id ORDER BY published.id"
    )
    assert rows(migrated, united) == [
        (False, "sha256:0123", "of another"),
        (True, "of a", None),
        (True, "both", "first"),
        (True, "of b", None),
    ]
    assert rows(migrated, "SELECT count(*) FROM region_tick.seen") == [(4,)]
    last = "SELECT last_item = (SELECT max(id) FROM region_tick.upstream_item WHERE upstream_id = upstream.id)"
    assert rows(migrated, f"{last} FROM region_tick.upstream WHERE last_item > 0") == [(True,), (True,)]


def test_every_region_keeps_its_items_with_numbers_in_the_order_of_time(migrated: psycopg.Connection) -> None:
    kept = "SELECT seq, creator_id, item_id, title, backlog FROM region_tick.items ORDER BY seq"
    assert rows(migrated, kept) == [
        (1, 3, "sha256:0123", "of another", False),
        (2, 1, "of a", None, False),
        (3, 1, "both", "first", False),
        (4, 2, "both", "later", False),
        (5, 2, "of b", None, False),
    ]


def test_what_a_tick_of_the_release_before_writes_is_in_the_order_too(migrated: psycopg.Connection) -> None:
    migrated.execute(
        "INSERT INTO region_tick.item (creator_id, item_id, url, title, published_at)"
        " SELECT 4, item_id, NULL, NULL, NULL FROM unnest(ARRAY['new']) AS found (item_id)"
        " ON CONFLICT (creator_id, item_id) DO NOTHING"
    )
    assert rows(migrated, "SELECT seq, platform, handle FROM region_tick.items WHERE item_id = 'new'") == [
        (6, "youtube", "@x")
    ]


def test_an_edited_creator_forgets_its_upstream(migrated: psycopg.Connection) -> None:
    migrated.execute("UPDATE region_tick.creator SET delivered_until = 3 WHERE id = 1")
    migrated.execute("UPDATE region_tick.creator SET url = 'https://elsewhere.test/' WHERE id = 1")
    edited = "SELECT upstream_id, delivered_until FROM region_tick.creator WHERE id = 1"
    assert rows(migrated, edited) == [(None, 0)]
