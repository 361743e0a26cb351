"""Delivers to several creators' regions for a tick: what goes into one transaction, and what a lock costs.

What is delivered, and in which order, is left to `delivery`.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from region_tick.delivery import DELIVERED_AT_ONCE, Delivered, deliver, deliver_nothing
from region_tick.hook import HookError, OnItems, call_hook

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping

    from psycopg import Connection

    from region_tick.handlers import Tick

_LOCKED = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_NOTHING, _MORE = Delivered(items=0, more=False), Delivered(items=0, more=True)


class Deliveries:
    """The deliveries of one tick. `counts` counts those that failed."""

    def __init__(self, tick: Tick, hook: OnItems | None, counts: Counter[str]) -> None:
        self._tick, self._hook, self._counts = tick, hook, counts

    def write(self, creators: Mapping[int, int], write: Callable[[Connection], object] | None = None) -> int:
        """Do `write` and deliver the items of creators (upstreams by creator), in one transaction if they are not many.

        Return how many items were delivered. Whoever holds a lock costs these creators their turn, but not the answer:
        `write` is then done alone. Raises StoppedError, LeaseLostError and psycopg.Error.
        """
        items = 0
        while creators:
            try:
                with self._tick.transaction() as connection:
                    if write is not None:
                        write(connection)
                    delivered = self._deliver_some(connection, creators)
            except _LOCKED as error:
                self._count_locked(*creators, reason=str(error))
                if write is not None:
                    with suppress(*_LOCKED), self._tick.transaction() as connection:
                        write(connection)
                break
            items += sum(one.items for one in delivered.values())
            creators = {one: creators[one] for one in creators if delivered.get(one, _MORE).more}
            write = None
            self._tick.check()
        return items

    def _deliver_some(self, connection: Connection, creators: Mapping[int, int]) -> dict[int, Delivered]:
        """Deliver to creators until the items are many: until COMMIT, nobody else can deliver."""
        delivered: dict[int, Delivered] = {}
        for one, upstream in creators.items():
            delivered[one] = self._deliver(connection, one, upstream)
            if delivered[one].more or sum(each.items for each in delivered.values()) >= DELIVERED_AT_ONCE:
                break
        return delivered

    def _deliver(self, connection: Connection, creator_id: int, upstream_id: int) -> Delivered:
        """Deliver in the open transaction. If the user's function fails, deliver nothing and note why."""
        on_items = self._hook and partial(call_hook, self._hook, self._tick)
        try:
            with connection.transaction() if on_items else nullcontext():
                delivered = deliver(connection, creator_id, upstream_id, on_items=on_items)
        except HookError as error:
            deliver_nothing(connection, creator_id, error=str(error))
            self._counts["undelivered"] += 1
            return _NOTHING
        if delivered is None:
            self._count_locked(creator_id, reason="the creator's row is locked, edited or gone")
        return delivered or _NOTHING

    def _count_locked(self, *creators: int, reason: str) -> None:
        self._counts["locked"] += len(creators)
        self._tick.log.warning("creator not written", extra={"creators": list(creators), "reason": reason})
