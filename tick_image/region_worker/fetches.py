"""Implements the queue's task: asks a creator's upstream for news, as `poll` does, and writes the result.

A task may run twice, even at the same time, after a worker died or was taken for dead. A repetition is harmless: each
item is stored once, together with the validators of its answer. A result that the creator's row records (a refusal, a
Retry-After) ends the task, and a later tick asks again. A failure that may pass by itself is raised, so that the queue
tries the task again. No slot waits for a host: a task whose host has no place is put back.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from procrastinate.exceptions import JobAborted

from region_tick.adapters import Adapter, Creator, Found, NotModified, make_adapters
from region_tick.addresses import Addresses
from region_tick.asking import Asker, Polled, creator_seconds, lease_seconds
from region_tick.clients import Clients
from region_tick.creators import Taken, renew, take_creator
from region_tick.delivery import deliver
from region_tick.fetch import Client, FetchError, RefusedError, TransientError
from region_tick.host_places import UNASKED, Outcome, Place, Wait
from region_tick.items import count_escaped
from region_tick.retry import ThrottledError
from region_tick.session import bound, cursor
from region_tick.shared_places import SharedPlaces
from region_tick.turns import Turn
from region_tick.upstreams import save
from region_worker.job_statements import PAUSE
from region_worker.jobs import NotFetchedError, NotNowError
from region_worker.metrics import TASK_SECONDS, TASKS, count_requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procrastinate import JobContext
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from region_tick.poll_settings import PollSettings

log = logging.getLogger(__name__)

ELSEWHERE_SECONDS = 3.0
"""When to look again at a creator whose upstream somebody else asks."""
_CHECK_SECONDS = 0.25
_PATIENCE_SECONDS = 5.0
"""How long a request may outlast its time before the task gives the request up: a DNS look-up or a TLS handshake."""


class Fetches:
    """Runs tasks. procrastinate calls `fetch` in a thread per task. `pool` has connections in autocommit mode."""

    def __init__(self, pool: ConnectionPool[Connection], settings: PollSettings) -> None:
        self._pool, self._settings = pool, settings
        self._places = SharedPlaces(
            pool.connection, at_once=settings.concurrency_per_host, lease_seconds=lease_seconds(settings), log=log
        )
        addresses = Addresses(allowed=settings.allow_networks, denied=settings.deny_networks)
        self._clients = Clients(lambda: Client(addresses, user_agent=settings.user_agent))
        self._adapters: tuple[datetime, Mapping[str, Adapter]] | None = None
        self._lock = Lock()

    def fetch(
        self,
        context: JobContext,
        *,
        creator_id: int,
        tick_at: str,
        region_code: str,
        host: str = "",  # noqa: ARG002 - for the choice of the next task
        error: str = "",  # noqa: ARG002 - for people: what became of the last attempt
    ) -> None:
        """Fetch a creator, unless there is an answer since `tick_at` (ISO 8601), and deliver the region's items.

        Raises NotFetchedError, NotNowError, JobAborted when told to stop, psycopg.Error, and psycopg_pool.PoolTimeout.
        """
        fields = {
            "region.code": region_code,
            "tick_at": tick_at,
            "creator": creator_id,
            "attempt": context.job.attempts + 1,
        }
        owner = f"task {context.job.id}"
        with self._pool.connection() as connection:
            taken = take_creator(
                connection,
                creator_id,
                tick_at=datetime.fromisoformat(tick_at),
                owner=owner,
                seconds=lease_seconds(self._settings),
            )
        if taken.turn is Turn.ELSEWHERE:
            TASKS.labels("put back").inc()
            raise NotNowError("somebody else asks the creator's upstream right now", seconds=ELSEWHERE_SECONDS)
        if taken.creator is None:
            items = self._deliver(creator_id, taken)
            TASKS.labels("nothing to fetch").inc()
            log.info("nothing to fetch", extra=fields | {"turn": taken.turn, "items": items})
            return
        began = time.monotonic()
        polled = self._poll(taken.creator, self._adapters_at(taken.now), context, owner=owner)
        pause = self._save(polled)
        items = self._deliver(creator_id, taken)
        TASK_SECONDS.observe(time.monotonic() - began)
        count_requests(polled.statuses)
        TASKS.labels(_kind(polled.result)).inc()
        _log_result(polled, fields | {"items": items})
        if isinstance(polled.result, TransientError):
            raise NotFetchedError(str(polled.result), seconds=pause)

    def close(self) -> None:
        """Close the open connections to upstreams."""
        self._clients.close()

    def _save(self, polled: Polled) -> float:
        """Write a result; return for how many seconds the upstream is left alone. Raises psycopg.Error."""
        with self._pool.connection() as connection, connection.transaction():
            bound(connection)
            save(connection, polled.creator, polled.result)
            if isinstance(polled.result, Found) and (escaped := count_escaped(connection, polled.result.items)):
                log.info("texts escaped", extra={"creator": polled.creator.id, "escaped": escaped})
            row = cursor(connection).execute(PAUSE, {"id": polled.creator.upstream_id}).fetchone()
        return row[0] if row else 0.0

    def _deliver(self, creator_id: int, taken: Taken) -> int:
        """Give the creator's region what it has not got; return how many items these are. Raises psycopg.Error."""
        items, more = 0, True
        while more and taken.upstream_id and taken.turn is not Turn.PAUSED:
            with self._pool.connection() as connection, connection.transaction():
                bound(connection)
                delivered = deliver(connection, creator_id, taken.upstream_id, on_items=None)
            items += delivered.items if delivered else 0
            more = delivered is not None and delivered.more
        return items

    def _poll(self, creator: Creator, adapters: Mapping[str, Adapter], context: JobContext, *, owner: str) -> Polled:
        """Take a place at the creator's host, and ask. Raises NotNowError and JobAborted."""
        asker = Asker(adapters, self._settings, log=log)
        try:
            host = asker.host(creator)
        except RefusedError as error:
            return Polled(creator=creator, result=error)
        place = self._places.take(host)
        if isinstance(place, Wait):
            self._give_back(creator, owner)
            TASKS.labels("put back").inc()
            raise NotNowError(f"{host} has no place", seconds=place.seconds, host=host)
        outcome = UNASKED
        try:
            polled, outcome = self._ask(asker, creator, place, context)
        except JobAborted:
            self._give_back(creator, owner)
            raise
        finally:
            self._places.give(place, outcome)
        return polled

    def _give_back(self, creator: Creator, owner: str) -> None:
        """Let others ask the creator's upstream. Raises psycopg.Error."""
        with self._pool.connection() as connection:
            renew(connection, [creator], owner=owner, seconds=0)

    def _ask(self, asker: Asker, creator: Creator, place: Place, context: JobContext) -> tuple[Polled, Outcome]:
        """Ask the creator's upstream once, in a thread that can be left behind. Raises JobAborted.

        The queue repeats what failed: a repetition here would hold the slot during its pause.
        """
        until = time.monotonic() + creator_seconds(self._settings)
        stopping = Event()
        answers: SimpleQueue[tuple[Polled, Outcome]] = SimpleQueue()

        def ask() -> None:
            with self._clients.lend(place.host) as client:
                answers.put(asker.ask(creator, client, until=until, wait=stopping.wait, once=True))

        Thread(target=ask, name="ask", daemon=True).start()
        try:
            while time.monotonic() < until + _PATIENCE_SECONDS:
                try:
                    return answers.get(timeout=_CHECK_SECONDS)
                except Empty:
                    _check(context)
        finally:
            stopping.set()
        error = TransientError(f"no answer within {creator_seconds(self._settings):.0f} s")
        return Polled(creator=creator, result=error), UNASKED

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


def _check(context: JobContext) -> None:
    """Raise JobAborted if the worker is told to stop."""
    if context.should_abort():
        TASKS.labels("given back").inc()
        raise JobAborted


def _kind(result: Found | NotModified | FetchError) -> str:
    match result:
        case Found():
            return "fetched"
        case ThrottledError():
            return "throttled"
        case TransientError():
            return "failed"
        case NotModified():
            return "not modified"
        case _:
            return "refused"


def _log_result(polled: Polled, fields: dict[str, object]) -> None:
    fields |= {"platform": polled.creator.platform, "requests": polled.requests, "quota": polled.cost}
    if isinstance(polled.result, FetchError):
        log.warning("creator not fetched", extra=fields | {"error": str(polled.result)})
    else:
        log.info("fetched", extra=fields | {"modified": isinstance(polled.result, Found)})
