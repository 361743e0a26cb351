"""The task: ask a creator's upstream what is new, as `poll` does, and write what came of it.

It may run twice, also at the same time: after a worker that died, or was taken for dead. That is harmless, because what
is written are items, each once, and the validators that came with them. What is on record in the creator's row (a
refusal, a Retry-After) is a task done, for a later tick to follow up; what may pass by itself is raised, for the queue
to try again.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from threading import Event, Lock
from typing import TYPE_CHECKING

from procrastinate.exceptions import JobAborted

from region_tick.adapters import Adapter, Creator, Found, adapters
from region_tick.creators import read_creator, save
from region_tick.fetch import RefusedError, TransientError
from region_tick.poller import Polled, Poller
from region_tick.retry import ThrottledError
from region_tick.session import bound
from region_worker.hosts import Host, Hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procrastinate import JobContext
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from region_tick.poll_settings import PollSettings

log = logging.getLogger(__name__)

TASK_SECONDS = 60.0
"""How long a task may ask its upstream, all attempts and the wait for a place at the host included."""


class Fetches:
    """Runs tasks, each in a thread of its own."""

    def __init__(self, pool: ConnectionPool[Connection], settings: PollSettings) -> None:
        self._pool, self._settings = pool, settings
        self._hosts = Hosts(settings.concurrency_per_host)
        self._adapters: tuple[datetime, Mapping[str, Adapter]] | None = None
        self._lock = Lock()

    def fetch(self, context: JobContext, *, creator_id: int, tick_at: str, region_code: str) -> None:
        """Fetch a creator of whom there was no answer since `tick_at`.

        Raises TransientError, JobAborted when told to stop, psycopg.Error, and psycopg_pool.PoolTimeout.
        """
        about = {
            "region.code": region_code,
            "tick_at": tick_at,
            "creator": creator_id,
            "attempt": context.job.attempts + 1,
        }
        with self._pool.connection() as connection:
            bound(connection)
            found = read_creator(connection, creator_id, tick_at=datetime.fromisoformat(tick_at))
        if found is None:
            log.info("nothing to fetch", extra=about)
            return
        polled = self._poll(*found, context)
        with self._pool.connection() as connection:
            bound(connection)
            items = save(connection, polled.creator, polled.result)
        _report(polled, about | {"items": items})
        if isinstance(polled.result, TransientError):
            raise polled.result

    def _poll(self, creator: Creator, now: datetime, context: JobContext) -> Polled:
        until = time.monotonic() + TASK_SECONDS
        known = self._known(now)
        host = self._host(known, creator)
        if host is None:
            return self._ask(creator, known, until, context)
        with host.turn(until=until, check=lambda: _check(context)) as throttled:
            if throttled is not None:
                return Polled(creator=creator, result=throttled)
            polled = self._ask(creator, known, until, context)
            if isinstance(polled.result, ThrottledError):
                host.throttle(polled.result)
            return polled

    def _ask(self, creator: Creator, known: Mapping[str, Adapter], until: float, context: JobContext) -> Polled:
        stopping = Event()
        poller = Poller(known, self._settings, until=until, stopping=stopping, log=log)
        try:
            for polled in poller.poll([creator]):
                if polled is not None:
                    return polled
                _check(context)
        finally:
            stopping.set()
        raise TransientError(f"no answer within {TASK_SECONDS:.0f} s")

    def _known(self, now: datetime) -> Mapping[str, Adapter]:
        """Return the adapters; they are made anew each hour, because TikTok's holds a day and a token of two hours."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        with self._lock:
            if self._adapters is None or self._adapters[0] != hour:
                self._adapters = (hour, adapters(self._settings, until=now))
            return self._adapters[1]

    def _host(self, known: Mapping[str, Adapter], creator: Creator) -> Host | None:
        """Return the host that will be asked; None where there is none, which the asking says in its own words."""
        try:
            return self._hosts[known[creator.platform].host(creator)]
        except (KeyError, RefusedError):
            return None


def _check(context: JobContext) -> None:
    if context.should_abort():
        raise JobAborted


def _report(polled: Polled, about: dict[str, object]) -> None:
    about |= {"platform": polled.creator.platform, "requests": polled.requests, "quota": polled.cost}
    if polled.result is None or isinstance(polled.result, Found):
        log.info("fetched", extra=about | {"modified": polled.result is not None})
    else:
        log.warning("creator not fetched", extra=about | {"error": str(polled.result)})
