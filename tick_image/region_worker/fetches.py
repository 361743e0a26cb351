"""Implements the queue's task: asks a creator's upstream for news, as `poll` does, and writes the result.

A task may run twice, even at the same time, after a worker died or was taken for dead. A repetition is harmless: each
item is stored once, together with the validators of its answer. A result that the creator's row records (a refusal, a
Retry-After) ends the task, and a later tick asks again. A failure that may pass by itself is raised, so that the queue
tries the task again.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from threading import Event, Lock
from typing import TYPE_CHECKING

from procrastinate.exceptions import JobAborted

from region_tick.adapters import Adapter, Creator, Found, NotModified, make_adapters
from region_tick.creators import LEASE_SECONDS, Taken, take_creator
from region_tick.delivery import DELIVERED_AT_ONCE, deliver
from region_tick.fetch import RefusedError, TransientError
from region_tick.items import count_escaped
from region_tick.poller import Polled, Poller
from region_tick.retry import ThrottledError
from region_tick.session import bound
from region_tick.turns import Turn
from region_tick.upstreams import save
from region_worker.hosts import Host, Hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procrastinate import JobContext
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from region_tick.poll_settings import PollSettings

log = logging.getLogger(__name__)

TASK_SECONDS = 60.0
"""How long a task may take for its upstream: all attempts, and the wait for a place at the host."""


class Fetches:
    """Runs tasks. procrastinate calls `fetch` in a thread per task."""

    def __init__(self, pool: ConnectionPool[Connection], settings: PollSettings) -> None:
        self._pool, self._settings = pool, settings
        self._hosts = Hosts(settings.concurrency_per_host)
        self._adapters: tuple[datetime, Mapping[str, Adapter]] | None = None
        self._lock = Lock()

    def fetch(self, context: JobContext, *, creator_id: int, tick_at: str, region_code: str) -> None:
        """Fetch a creator, unless there is an answer since `tick_at` (ISO 8601).

        Raises TransientError, JobAborted when told to stop, psycopg.Error, and psycopg_pool.PoolTimeout.
        """
        fields = {
            "region.code": region_code,
            "tick_at": tick_at,
            "creator": creator_id,
            "attempt": context.job.attempts + 1,
        }
        with self._pool.connection() as connection:
            taken = take_creator(
                connection,
                creator_id,
                tick_at=datetime.fromisoformat(tick_at),
                owner=f"task {context.job.id}",
                seconds=TASK_SECONDS + LEASE_SECONDS,
            )
        if taken.turn is Turn.ELSEWHERE:
            raise TransientError("another tick or worker asks this creator's upstream right now")
        if taken.creator is None:
            items = self._deliver(creator_id, taken)
            log.info("nothing to fetch", extra=fields | {"turn": taken.turn, "items": items})
            return
        polled = self._poll(taken.creator, taken.now, context)
        with self._pool.connection() as connection:
            bound(connection)
            save(connection, polled.creator, polled.result)
            found = polled.result.items if isinstance(polled.result, Found) else ()
            escaped = count_escaped(connection, found)
        items = self._deliver(creator_id, taken)
        _log_result(polled, fields | {"items": items} | ({"escaped": escaped} if escaped else {}))
        if isinstance(polled.result, TransientError):
            raise polled.result

    def _deliver(self, creator_id: int, taken: Taken) -> int:
        """Give the creator's region what it has not got; return how many items these are. Raises psycopg.Error."""
        items, delivered = 0, DELIVERED_AT_ONCE if taken.upstream_id else 0
        while delivered == DELIVERED_AT_ONCE and taken.upstream_id:
            with self._pool.connection() as connection:
                bound(connection)
                delivered = deliver(connection, creator_id, taken.upstream_id, on_items=None) or 0
            items += delivered
        return items

    def _poll(self, creator: Creator, now: datetime, context: JobContext) -> Polled:
        """Wait for a place at the creator's host, and ask; return at once if the host is throttled."""
        until = time.monotonic() + TASK_SECONDS
        adapters = self._adapters_at(now)
        host = self._host(adapters, creator)
        if host is None:
            return self._ask(creator, adapters, until, context)
        with host.turn(until=until, check=lambda: _check(context)) as throttled:
            if throttled is not None:
                return Polled(creator=creator, result=throttled)
            polled = self._ask(creator, adapters, until, context)
            if isinstance(polled.result, ThrottledError) and polled.result.whole_host:
                host.throttle(polled.result)
            return polled

    def _ask(self, creator: Creator, adapters: Mapping[str, Adapter], until: float, context: JobContext) -> Polled:
        """Ask the creator's upstream, and return the result by `until` (time.monotonic()).

        Raises TransientError and JobAborted.
        """
        stopping = Event()
        poller = Poller(adapters, self._settings, until=until, stopping=stopping, log=log)
        try:
            for polled in poller.poll([creator]):
                if polled is not None:
                    return polled
                _check(context)
        finally:
            stopping.set()
        raise TransientError(f"no answer within {TASK_SECONDS:.0f} s")

    def _adapters_at(self, now: datetime) -> Mapping[str, Adapter]:
        """Return the adapters for this hour.

        New adapters are made every hour, because TikTok's adapter holds the date and a token that is valid for two
        hours.
        """
        hour = now.replace(minute=0, second=0, microsecond=0)
        with self._lock:
            if self._adapters is None or self._adapters[0] != hour:
                self._adapters = (hour, make_adapters(self._settings, until=now))
            return self._adapters[1]

    def _host(self, adapters: Mapping[str, Adapter], creator: Creator) -> Host | None:
        """Return the host to ask, or None for an invalid creator: the poller then returns the reason as an error."""
        try:
            return self._hosts[adapters[creator.platform].host(creator)]
        except (KeyError, RefusedError):
            return None


def _check(context: JobContext) -> None:
    """Raise JobAborted if the worker is told to stop."""
    if context.should_abort():
        raise JobAborted


def _log_result(polled: Polled, fields: dict[str, object]) -> None:
    fields |= {"platform": polled.creator.platform, "requests": polled.requests, "quota": polled.cost}
    if isinstance(polled.result, Found | NotModified):
        log.info("fetched", extra=fields | {"modified": isinstance(polled.result, Found)})
    else:
        log.warning("creator not fetched", extra=fields | {"error": str(polled.result)})
