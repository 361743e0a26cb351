"""The built-in handler `poll`: fetches what the region's creators have published since their last poll.

An upstream that several regions share is asked by one of their ticks, and each region gets the answer by its own tick.
Each creator's result is committed separately: if the tick ends early, the next attempt or tick begins with the
upstreams that have waited longest, so `poll` does not use the tick's window. The tick succeeds whatever becomes of
single creators. Users read docs/polling.md and docs/items.md.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from region_tick.adapters import Found, NotModified, make_adapters
from region_tick.asking import lease_seconds
from region_tick.contract import Variable
from region_tick.creators import LEASE_SECONDS, has_creators, read_creators, renew, take
from region_tick.deliveries import Deliveries
from region_tick.delivery import keep_up
from region_tick.fetch import RefusedError, TransientError
from region_tick.handlers import Outcome, Tick
from region_tick.hook import OnItems, load_hook
from region_tick.items import count_escaped
from region_tick.poll_counts import counts_of
from region_tick.poll_settings import PollSettings
from region_tick.poller import Poller
from region_tick.shared_budgets import ConnectionBeside, SharedBudgets
from region_tick.shared_places import SharedPlaces
from region_tick.turns import Turn
from region_tick.upstreams import forgive, save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from region_tick.adapters import Creator
    from region_tick.asking import Polled
    from region_tick.creators import Due

MARGIN_SECONDS = 5.0
"""How much of the tick's time is kept for writing results. A short tick keeps a fifth of its time."""
TAKEN_AT_ONCE = 200
"""How many upstreams a tick takes at a time. Ticks of other regions take the next ones meanwhile."""
DELIVERIES_AT_ONCE = 50
"""For how many creators a tick delivers in one transaction what others have fetched, if no function is called."""
PATIENCE_SECONDS = LEASE_SECONDS + 15.0
"""How long a tick with nothing else to do waits for the next answer that others ask for; later ones wait a tick."""
_SOON = (Turn.ASK, Turn.ELSEWHERE)
"""The turns of creators whose upstreams others ask right now. ASK: they were faster after the creators were read."""
_COUNTS = ("fetched", "not_modified", "shared", "items", "failed", "throttled")


class NobodyReachedError(Exception):
    """Several hosts were asked, and none could be reached, for the first time: the tick is tried again."""


def poll(tick: Tick) -> Outcome:
    """Poll the creators without an answer since `tick.tick_at`, and deliver their new items.

    Raises NobodyReachedError, PollSettingError, StoppedError, LeaseLostError and psycopg.Error.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # urllib3's warnings hold whole URLs
    with closing(ConnectionBeside(tick.connection)) as beside:
        polling = _Polling(tick, PollSettings.read(os.environ), load_hook(os.environ), beside)
        polling.work()
    polling.raise_if_nobody_was_reached()
    return Outcome(counts=polling.counts)


class _Polling:
    """The polling of one region by one tick."""

    def __init__(self, tick: Tick, settings: PollSettings, hook: OnItems | None, beside: ConnectionBeside) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(_COUNTS, 0))
        self._tick, self._settings, self._hook = tick, settings, hook
        self._region = {"source": os.environ[Variable.SOURCE], "region_id": tick.region.id}
        self._owner = f"tick {tick.key}"
        until = datetime.now(UTC) if tick.rerun else tick.tick_at  # an answer counts as one of now, also to a rerun
        self._adapters = make_adapters(settings, until=until)
        self._places = SharedPlaces(
            lambda: nullcontext(tick.connection),
            at_once=settings.concurrency_per_host,
            lease_seconds=lease_seconds(settings),
            log=tick.log,
        )
        self._budgets = SharedBudgets(beside.lend, log=tick.log)
        self._until = tick.deadline - min(MARGIN_SECONDS, tick.remaining() / 5)
        self._deliveries = Deliveries(tick, hook, self.counts)
        self._done: set[int] = set()  # the ids of the creators that this tick has dealt with
        self._unreached: list[tuple[Creator, TransientError]] = []
        self._reached = False

    def work(self) -> None:
        """Ask and deliver until nothing is left, or until time is over."""
        due = self._read()
        if not due and not has_creators(self._tick.connection, **self._region):
            remedy = "add rows to region_tick.creator; the view creators_without_region shows rows of no region"
            self._tick.log.warning("no creators", extra={"remedy": remedy})
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            before = len(self._done)
            self._deliver_shared(due)
            self._ask([one.id for one in due if one.turn is Turn.ASK])
            if len(self._done) > before:
                patience = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() < min(patience, self._until) and any(one.turn in _SOON for one in due):
                self._tick.stopping.wait(random.uniform(0.5, 1.5))  # noqa: S311
            else:
                break
            self._tick.check()
            due = self._read()
        left = Counter(one.turn for one in due if one.id not in self._done)
        fresh, waiting = left[Turn.FRESH], left[Turn.WAITING] + left[Turn.PAUSED]
        self.counts.update(fresh=fresh, waiting=waiting, left=left.total() - fresh - waiting)

    def raise_if_nobody_was_reached(self) -> None:
        """Raise NobodyReachedError if the failures are likely our own, and let the upstreams be asked at once then.

        They are if several hosts were asked, none was reached, and no upstream had failed or was left alone before.
        """
        creators = [creator for creator, _ in self._unreached]
        if self._reached or self.counts["waiting"] or any(creator.transient_failures for creator in creators):
            return
        if len({self._adapters[creator.platform].host(creator) for creator in creators}) < 2:
            return
        with self._tick.transaction() as connection:
            forgive(connection, creators)
        raise NobodyReachedError(f"none of {len(creators)} creators could be reached; {self._unreached[-1][1]}")

    def _read(self) -> list[Due]:
        """Read the creators that this tick has not dealt with yet."""
        connection, tick_at = self._tick.connection, self._tick.tick_at
        due = read_creators(connection, **self._region, tick_at=tick_at, owner=self._owner)
        return [one for one in due if one.id not in self._done]

    def _deliver_shared(self, due: Sequence[Due]) -> None:
        """Deliver what others have fetched, and what this region could not be given before."""
        known = [one.id for one in due if one.turn is Turn.SHARED and not one.undelivered]
        if known:
            with self._tick.transaction() as connection:
                self.counts["shared"] += keep_up(connection, known)
            self._done.update(known)
        ready = [one for one in due if one.undelivered and one.turn in (Turn.SHARED, Turn.FRESH, Turn.WAITING)]
        size = 1 if self._hook else DELIVERIES_AT_ONCE
        for first in range(0, len(ready), size):
            if time.monotonic() >= self._until:
                break
            self._tick.check()
            some = ready[first : first + size]
            self.counts["shared"] += sum(one.turn is Turn.SHARED for one in some)
            self.counts["items"] += self._deliveries.write({one.id: one.upstream_id or 0 for one in some})
            self._done.update(one.id for one in some)

    def _ask(self, ids: Sequence[int]) -> None:
        """Ask the upstreams of those creators whose upstreams are free."""
        for first in range(0, len(ids), TAKEN_AT_ONCE):
            if time.monotonic() >= self._until:
                break
            some = ids[first : first + TAKEN_AT_ONCE]
            if creators := take(self._tick.connection, some, tick_at=self._tick.tick_at, owner=self._owner):
                self._poll(creators)

    def _poll(self, creators: Sequence[Creator]) -> None:
        """Ask upstreams that are taken, write each result, and give back those for which there was no time."""
        tick, missing = self._tick, {creator.id: creator for creator in creators}
        poller = Poller(
            self._adapters,
            self._settings,
            until=self._until,
            stopping=tick.stopping,
            log=tick.log,
            places=self._places,
            budgets=self._budgets,
        )
        renewed = time.monotonic()
        with closing(poller.poll(creators)) as results:
            for polled in results:
                tick.check()
                if time.monotonic() - renewed > LEASE_SECONDS / 3:
                    renewed = time.monotonic()
                    renew(tick.connection, missing.values(), owner=self._owner)
                if polled is not None:
                    del missing[polled.creator.id]
                    self._save(polled)
        if missing:
            renew(tick.connection, missing.values(), owner=self._owner, seconds=0)

    def _save(self, polled: Polled) -> None:
        """Write a result, and deliver."""
        creator, key = polled.creator, {polled.creator.id: polled.creator.upstream_id}
        self._done.add(creator.id)
        try:
            items = self._deliveries.write(key, lambda connection: self._save_result(connection, polled))
        except psycopg.DataError as error:
            reason = error.diag.message_primary or type(error).__name__
            polled = replace(polled, result=RefusedError(f"the answer cannot be stored: {reason}"))
            items = self._deliveries.write(key, lambda connection: self._save_result(connection, polled))
        result = polled.result
        self.counts.update(counts_of(polled, items=items))
        if isinstance(result, TransientError):
            self._unreached.append((creator, result))
        self._reached = self._reached or not isinstance(result, TransientError)
        if isinstance(result, Found) and (escaped := count_escaped(self._tick.connection, result.items)):
            self.counts["escaped"] += escaped
        if not isinstance(result, Found | NotModified):
            fields = {"creator": creator.id, "platform": creator.platform, "error": str(result)}
            self._tick.log.warning("creator not polled", extra=fields)

    def _save_result(self, connection: Connection, polled: Polled) -> None:
        until = polled.fresh_until(self._tick.tick_at, at_most=self._settings.fresh_seconds)
        save(connection, polled.creator, polled.result, fresh_until=until)
