"""Implements the queue's task: asks a creator's upstream for news, as `poll` does, and writes the result.

A task may run twice, even at the same time, after a worker died or was taken for dead. A repetition is harmless: each
item is stored once, together with the validators of its answer. A result that the creator's row records (a refusal, a
Retry-After) ends the task, and a later tick asks again. A failure that may pass by itself is raised, so that the queue
tries the task again. No slot waits for a host: a task whose host has no place is put back.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from datetime import datetime
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from procrastinate.exceptions import JobAborted

from region_tick.adapters import Adapter, Creator, Found, NotModified, make_adapters
from region_tick.addresses import Addresses
from region_tick.asking import Asker, Polled, creator_seconds, lease_seconds
from region_tick.clients import Clients
from region_tick.creators import Taken, renew, take_creator
from region_tick.deliveries import Deliveries
from region_tick.fetch import Client, FetchError, RefusedError, TransientError
from region_tick.host_places import UNASKED, Outcome, Place, Wait
from region_tick.items import count_escaped
from region_tick.retry import ThrottledError
from region_tick.session import bound, cursor
from region_tick.shared_budgets import SharedBudgets
from region_tick.shared_places import SharedPlaces
from region_tick.turns import Turn
from region_tick.upstreams import save
from region_worker.job_statements import PAUSE
from region_worker.jobs import NotFetchedError, NotNowError
from region_worker.metrics import TASK_SECONDS, TASKS, count_requests
from region_worker.task_tick import make_task_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procrastinate import JobContext
    from psycopg import Connection
    from psycopg_pool import ConnectionPool

    from region_tick.handlers import Tick
    from region_tick.hook import OnItems
    from region_tick.poll_settings import PollSettings

log = logging.getLogger(__name__)

ELSEWHERE_SECONDS = 3.0
"""When to look again at a creator whose upstream somebody else asks."""
_CHECK_SECONDS = 0.25
_PATIENCE_SECONDS = 5.0
"""How long a request may outlast its time before the task gives the request up: a DNS look-up or a TLS handshake."""


class Fetches:
    """Runs tasks. procrastinate calls `fetch` in a thread per task. `pool` has connections in autocommit mode, and
    `hook` is the user's function on_items.
    """

    def __init__(self, pool: ConnectionPool[Connection], settings: PollSettings, hook: OnItems | None) -> None:
        self._pool, self._settings, self._hook = pool, settings, hook
        self._places = SharedPlaces(
            pool.connection, at_once=settings.concurrency_per_host, lease_seconds=lease_seconds(settings), log=log
        )
        self._budgets = SharedBudgets(pool.connection, log=log)
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
        region: str = "",
        host: str = "",  # noqa: ARG002 - for the choice of the next task
        error: str = "",  # noqa: ARG002 - for people: what became of the last attempt
    ) -> None:
        """Fetch a creator, unless there is an answer since `tick_at` (ISO 8601), and deliver the region's items.

        Raises NotFetchedError, NotNowError, JobAborted when told to stop, psycopg.Error, and psycopg_pool.PoolTimeout.
        """
        owner, attempt = f"task {context.job.id}", context.job.attempts + 1
        fields = {"region.code": region_code, "tick_at": tick_at, "creator": creator_id, "attempt": attempt}
        make_tick = partial(make_task_tick, region=region, region_code=region_code, tick_at=tick_at, attempt=attempt)
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
            items = self._deliver(creator_id, taken, make_tick)
            TASKS.labels("nothing to fetch").inc()
            log.info("nothing to fetch", extra=fields | {"turn": taken.turn, "items": items})
            return
        began = time.monotonic()
        polled = self._poll(taken.creator, self._adapters_at(taken.now), context, owner=owner)
        pause = self._save(polled, datetime.fromisoformat(tick_at))
        items = self._deliver(creator_id, taken, make_tick)
        TASK_SECONDS.observe(time.monotonic() - began)
        count_requests(polled.statuses)
        TASKS.labels(_kind(polled.result)).inc()
        _log_result(polled, fields | {"items": items})
        if isinstance(polled.result, TransientError):
            raise NotFetchedError(str(polled.result), seconds=pause)

    def close(self) -> None:
        """Close the open connections to upstreams."""
        self._clients.close()

    def _save(self, polled: Polled, tick_at: datetime) -> float:
        """Write a result; return for how many seconds the upstream is left alone. Raises psycopg.Error."""
        until = polled.fresh_until(tick_at, at_most=self._settings.fresh_seconds)
        with self._pool.connection() as connection, connection.transaction():
            bound(connection)
            save(connection, polled.creator, polled.result, fresh_until=until)
            if isinstance(polled.result, Found) and (escaped := count_escaped(connection, polled.result.items)):
                log.info("texts escaped", extra={"creator": polled.creator.id, "escaped": escaped})
            row = cursor(connection).execute(PAUSE, {"id": polled.creator.upstream_id}).fetchone()
        return row[0] if row else 0.0

    def _deliver(self, creator_id: int, taken: Taken, make_tick: Callable[..., Tick]) -> int:
        """Give the creator's region what it has not got; return how many items these are.

        Raises psycopg.Error and MisuseError.
        """
        if not taken.upstream_id or taken.turn is Turn.PAUSED:
            return 0
        with self._pool.connection() as connection:
            tick = make_tick(connection, seconds=creator_seconds(self._settings))
            return Deliveries(tick, self._hook, Counter()).write({creator_id: taken.upstream_id})

    def _poll(self, creator: Creator, adapters: Mapping[str, Adapter], context: JobContext, *, owner: str) -> Polled:
        """Take a place at the creator's host, and ask. Raises NotNowError and JobAborted."""
        asker = Asker(adapters, self._settings, log=log, budgets=self._budgets)
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
