"""A reader that follows `items` by the last number that it has seen misses nothing, whatever commits late."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event

import psycopg
import pytest

from region_tick import delivery
from region_tick.adapters import Found, Item
from region_tick.creators import take
from region_tick.database_url import DatabaseUrl
from region_tick.delivery import deliver
from region_tick.session import bound, connect
from region_tick.upstreams import save
from tests.database.poll_rows import AT, add, how_many, read, rows
from tests.harness.long import rounds

SECONDS = rounds(10.0, long=600.0)
"""The long form takes ten minutes."""
WRITERS = 8
PAGE = 50


def write_items(database: str, region: int, stop: Event) -> int:
    """Deliver items until told to stop, and take a while before each COMMIT. Return how many were delivered."""
    chance = random.Random(region)  # noqa: S311
    delivered = 0
    with closing(connect(DatabaseUrl.parse(database))) as connection:
        due = read(connection, region_id=str(region), owner=str(region))
        (creator,) = take(connection, [one.id for one in due], tick_at=AT, owner=str(region))
        while not stop.is_set():
            items = [Item(id=f"{region} {chance.random()}") for _ in range(chance.randint(1, 5))]
            with connection.transaction():
                bound(connection)
                save(connection, creator, Found(items=items))
                delivered += how_many(deliver(connection, creator.id, creator.upstream_id, on_items=None)) or 0
                connection.execute("SELECT pg_sleep(%s)", (chance.choice((0.0, 0.0, 0.001, 0.02)),))
                if chance.random() < 0.05:
                    delivered -= len(items)
                    raise psycopg.Rollback
    return delivered


def follow(database: str, done: Event) -> list[int]:
    """Read on from the last number seen, page by page, until nothing comes after `done`."""
    seen: list[int] = []
    with psycopg.connect(database, autocommit=True) as connection:
        while True:
            last_look = done.is_set()
            query = f"SELECT seq FROM region_tick.items WHERE seq > %s ORDER BY seq LIMIT {PAGE}"
            page = [row["seq"] for row in rows(connection, query, seen[-1] if seen else 0)]
            seen += page
            if last_look and not page:
                return seen


def missed(database: str, seconds: float) -> tuple[int, int]:
    """Write and follow at the same time. Return how many items were delivered, and how many the reader missed."""
    with psycopg.connect(database, autocommit=True) as connection:
        for region in range(WRITERS):
            add(connection, f"https://upstream.test/{region}", region_id=str(region))
    stop, done = Event(), Event()
    with ThreadPoolExecutor(WRITERS + 2) as threads:
        readers = [threads.submit(follow, database, done) for _ in range(2)]
        writers = [threads.submit(write_items, database, region, stop) for region in range(WRITERS)]
        time.sleep(seconds)
        stop.set()
        delivered = sum(writer.result() for writer in writers)
        done.set()
        seen = [reader.result() for reader in readers]
    with psycopg.connect(database) as connection:
        there = {row["seq"] for row in rows(connection, "SELECT seq FROM region_tick.item")}
    assert len(there) == delivered
    assert all(sorted(set(one)) == one for one in seen), "in order, each once"
    return delivered, max(len(there - set(one)) for one in seen)


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 120)
def test_a_reader_that_keeps_its_last_number_misses_nothing(database: str) -> None:
    delivered, lost = missed(database, SECONDS)
    print(f"\n{delivered} items in {SECONDS:.0f} s by {WRITERS} writers, {lost} missed")
    assert delivered > 10 * SECONDS
    assert lost == 0


def test_without_the_lock_a_reader_misses_some(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above can fail."""
    monkeypatch.setattr(delivery, "ORDER_LOCK", "SELECT 1")
    assert missed(database, 3.0)[1] > 0
