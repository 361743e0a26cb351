"""ledger/batches.py: what the database cancels is asked again with less, and no item is asked twice for an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from region_operator.ledger.batches import FEWEST, QUICK_SECONDS, Batches
from tests.harness.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Sequence

CANCELLED = DBAPIError("SELECT", None, errors.QueryCanceled("canceling statement due to statement timeout"))


class Server:
    """Answers each item with itself, and cancels a statement of more than `most` items. A statement takes `seconds`."""

    def __init__(self, most: int, *, seconds: float = 0.0) -> None:
        self.most, self.seconds = most, seconds
        self.clock = Clock()
        self.asked: list[int] = []

    async def ask(self, batch: Sequence[int]) -> list[int]:
        self.asked.append(len(batch))
        self.clock.now += self.seconds
        if len(batch) > self.most:
            raise CANCELLED
        return list(batch)


@given(st.integers(0, 3000), st.integers(FEWEST, 3000), st.integers(1, 3000))
def test_each_item_is_answered_once_and_in_order_whatever_the_server_can_do(
    items: int, most: int, at_first: int
) -> None:
    server = Server(most)
    batches = Batches(at_first, clock=server.clock)
    assert asyncio.run(batches.run(range(items), server.ask)) == list(range(items))
    assert batches.size <= at_first


async def test_a_cancelled_statement_is_asked_again_in_halves_and_the_next_call_begins_there() -> None:
    server = Server(250, seconds=QUICK_SECONDS)
    batches = Batches(1000, clock=server.clock)
    await batches.run(range(1000), server.ask)
    assert server.asked == [1000, 500, 250, 250, 250, 250]
    await batches.run(range(500), server.ask)
    assert server.asked[6:] == [250, 250]


async def test_the_batch_grows_again_while_statements_are_quick() -> None:
    server = Server(250)
    batches = Batches(1000, clock=server.clock)
    await batches.run(range(300), server.ask)
    server.most, server.asked = 1000, []
    await batches.run(range(4000), server.ask)
    assert max(server.asked) == batches.size == 1000


async def test_a_few_items_that_are_cancelled_are_an_error() -> None:
    server = Server(0)
    with pytest.raises(DBAPIError):
        await Batches(1000, clock=server.clock).run(range(1000), server.ask)
    assert server.asked == [1000, 500, 250, 125, 62, FEWEST]


async def test_another_error_is_no_reason_to_ask_for_less() -> None:
    async def ask(_: Sequence[int]) -> list[int]:
        raise DBAPIError("SELECT", None, errors.LockNotAvailable())

    batches = Batches(1000)
    with pytest.raises(DBAPIError):
        await batches.run(range(1000), ask)
    assert batches.size == 1000


async def test_a_caller_that_is_cut_off_leaves_less_to_the_next_call() -> None:
    async def hang(_: Sequence[int]) -> list[int]:
        await asyncio.Event().wait()
        return []

    batches = Batches(1000)
    task = asyncio.create_task(batches.run(range(1000), hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert batches.size == 500
