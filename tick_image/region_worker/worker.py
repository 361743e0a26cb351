"""Runs procrastinate's worker with the project's task, the project's retries and a limit for every wait.

The worker ends when told to stop. The worker also ends when the queue cannot be trusted any more, because a heartbeat
or a job's final status could not be written. Kubernetes then starts the worker again, and another worker gets the jobs
within a minute.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from psycopg import Connection, IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout

from region_tick import logs
from region_tick.adaptation import adapt_to_encoding
from region_tick.handlers.enqueue import FETCH, QUEUE
from region_worker.fetches import Fetches
from region_worker.jobs import Backoff, QueueJobManager

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from region_worker.settings import WorkerSettings

log = logging.getLogger(__name__)

FAILED_KEPT_HOURS = 7 * 24
"""How long failed tasks stay in the table for people to see. Successful tasks are deleted at once."""
_HOUSEKEEPING_PRIORITY = 100


class QueueUnavailableError(Exception):
    """The queue cannot be reached or trusted: the worker must be started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTimes:
    """The worker's intervals and limits, in seconds."""

    heartbeat: float = 10.0
    """The interval of the worker's heartbeats."""
    stalled: float = 30.0
    """How long a worker may be without a heartbeat before other workers get its jobs."""
    graceful: float = 20.0
    """How long running jobs may take after the worker is told to stop. Jobs that take longer are given back."""
    poll: float = 5.0
    """The interval of the look for jobs without a NOTIFY: jobs that are tried again."""


def configure_logs(variables: Mapping[str, str]) -> None:
    """Write log lines in the shape of a tick's lines, and only warnings and errors of the libraries."""
    logs.configure(keys={"pod": variables.get("POD_NAME", "")})
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # INFO adds two lines per task to the worker's own
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # urllib3's warnings hold whole URLs


async def work(settings: WorkerSettings, times: WorkerTimes) -> None:
    """Work until SIGTERM or SIGINT. Raises QueueUnavailableError."""
    stopped_by_signal = False
    working = asyncio.create_task(_run_worker(settings, times, stop=lambda: stop()))

    def stop(*, by_signal: bool = False) -> None:
        nonlocal stopped_by_signal
        stopped_by_signal = stopped_by_signal or by_signal
        if not working.cancelling():
            log.info("stopping", extra={"reason": "terminated" if by_signal else "queue not written"})
            working.cancel()  # procrastinate's worker handles the cancellation and stops in order

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, partial(stop, by_signal=True))
    try:
        with suppress(asyncio.CancelledError):
            await working
    except (ConnectorException, PoolTimeout) as error:
        raise QueueUnavailableError(f"the queue is away: {error.__cause__ or error}") from error
    if not stopped_by_signal:
        raise QueueUnavailableError("the queue could not be read or written")
    log.info("stopped")


async def _run_worker(settings: WorkerSettings, times: WorkerTimes, *, stop: Callable[[], None]) -> None:
    """Run procrastinate's worker until a part of the worker fails. Cancel the coroutine to stop the worker."""
    concurrency = settings.poll.concurrency
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency, thread_name_prefix="task"))
    with _pool(settings, concurrency) as pool:
        connector = PsycopgConnector(conninfo=settings.queue_conninfo(), min_size=1, max_size=4, timeout=10.0)
        app = _make_app(Fetches(pool, settings.poll), QueueJobManager(connector, stop=stop), times)
        async with app.open_async():
            log.info("working", extra={"concurrency": concurrency})
            await app.run_worker_async(
                queues=[QUEUE],
                concurrency=concurrency,
                delete_jobs="successful",
                install_signal_handlers=False,
                fetch_job_polling_interval=times.poll,
                shutdown_graceful_timeout=times.graceful,
                update_heartbeat_interval=times.heartbeat,
                stalled_worker_timeout=times.stalled,
            )


def _make_app(fetches: Fetches, jobs: QueueJobManager, times: WorkerTimes) -> App:
    app = App(connector=jobs.connector)
    app.job_manager = jobs
    app.task(name=FETCH, queue=QUEUE, retry=Backoff(), pass_context=True)(fetches.fetch)

    @app.periodic(cron="* * * * * */15")
    @app.task(queue=QUEUE, queueing_lock="retry_stalled", priority=_HOUSEKEEPING_PRIORITY)
    async def retry_stalled(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes the time to periodic tasks
        await jobs.retry_stalled(seconds=times.stalled)

    @app.periodic(cron="17 * * * *")
    @app.task(queue=QUEUE, queueing_lock="remove_old", priority=_HOUSEKEEPING_PRIORITY)
    async def remove_old(timestamp: int) -> None:  # noqa: ARG001
        await jobs.delete_old_jobs(
            nb_hours=FAILED_KEPT_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
        )

    return app


def _pool(settings: WorkerSettings, size: int) -> ConnectionPool[Connection]:
    """Return a pool of connections for creators and items, with a tick's settings: READ COMMITTED, nothing prepared."""

    def configure(connection: Connection) -> None:
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        adapt_to_encoding(connection)

    return ConnectionPool(
        settings.database.conninfo,
        kwargs={"prepare_threshold": None, "fallback_application_name": "region-worker"},
        min_size=0,
        max_size=size,
        timeout=10.0,
        configure=configure,
        check=ConnectionPool.check_connection,
        open=False,
    )
