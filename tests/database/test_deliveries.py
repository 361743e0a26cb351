"""How much a tick delivers in one transaction. A real Postgres."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import psycopg
import pytest

from region_tick.adapters import Found, Item
from region_tick.deliveries import Deliveries
from region_tick.delivery import ORDER_LOCK
from region_tick.session import bound
from tests.database.poll_rows import add, item_ids, read, rows, taken, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_tick.handlers import Tick


class Transactions:
    """Stands for the tick, as far as deliveries know it, and counts the transactions."""

    log = logging.getLogger("test")

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection, self.number = connection, 0

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        with self.connection.transaction():
            bound(self.connection)
            self.number += 1
            yield self.connection

    def check(self) -> None:
        """Nobody stops it."""


@pytest.fixture
def creators(connection: psycopg.Connection) -> dict[int, int]:
    """Four creators of region 43, by their upstreams. Each upstream has two items that the region has not got."""
    for number in range(4):
        for region in ("42", "43"):
            add(connection, f"https://upstream.test/{number}", region_id=region)
    for creator in taken(connection):
        write(connection, creator, Found(items=[Item(id=f"{creator.url} {item}") for item in range(2)]))
    return {one.id: one.upstream_id or 0 for one in read(connection, region_id="43")}


@pytest.mark.parametrize(("at_once", "transactions"), [(8, 1), (3, 2), (1, 4)])
def test_a_transaction_ends_when_the_items_are_many(
    connection: psycopg.Connection,
    creators: dict[int, int],
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    transactions: int,
) -> None:
    """Nobody else can deliver until then."""
    monkeypatch.setattr("region_tick.deliveries.DELIVERED_AT_ONCE", at_once)
    tick, counts = Transactions(connection), Counter[str]()
    assert Deliveries(cast("Tick", tick), None, counts).write(creators) == 8
    assert (tick.number, len(item_ids(connection, "43")), counts) == (transactions, 8, {})


def test_a_creator_with_more_ends_the_transaction(
    connection: psycopg.Connection, creators: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("region_tick.delivery.DELIVERED_AT_ONCE", 1)
    tick = Transactions(connection)
    assert Deliveries(cast("Tick", tick), None, Counter()).write(creators) == 8
    assert (tick.number, len(item_ids(connection, "43"))) == (9, 8), "the last one has all, and nothing for anybody"


def test_a_lock_that_is_not_had_costs_the_delivery_alone(
    connection: psycopg.Connection, creators: dict[int, int], database: str
) -> None:
    connection.execute("CREATE TABLE effect (id integer)")
    counts = Counter[str]()
    with psycopg.connect(database) as other:
        other.execute(ORDER_LOCK)
        deliveries = Deliveries(cast("Tick", Transactions(connection)), None, counts)
        assert deliveries.write(creators, lambda ours: ours.execute("INSERT INTO effect VALUES (1)")) == 0
    assert (rows(connection, "SELECT id FROM effect"), counts) == ([{"id": 1}], {"locked": 4})
