"""Runs procrastinate's worker with the project's task, the project's retries and a limit for every wait.

The worker ends when told to stop. The worker also ends when the queue cannot be trusted any more, because a heartbeat
or a job's final status could not be written. Kubernetes then starts the worker again, and another worker gets the jobs
within a minute.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.worker import Worker
from psycopg import Connection, IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout

from region_tick import logs
from region_tick.adaptation import adapt_to_encoding
from region_tick.asking import creator_seconds
from region_tick.handlers.enqueue import FETCH, QUEUE
from region_worker.fetches import Fetches
from region_worker.health import Health, serve
from region_worker.job_statements import DEPTH
from region_worker.jobs import Backoff, QueueJobManager
from region_worker.metrics import show_depth
from region_worker.settings import WorkerSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from procrastinate.jobs import Job

    from region_worker.settings import WorkerSettings

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""How long a worker may not look for tasks, beside the time of a task, before the worker counts as stuck."""
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
    poll: float = 1.0
    """The interval of the look for jobs without a NOTIFY: jobs that are tried again, and hosts that have a place again.
    """
    depth: float = 15.0
    """The interval at which the queue's tasks are counted for the metrics."""


def configure_logs(variables: Mapping[str, str]) -> None:
    """Write log lines in the shape of a tick's lines, and only warnings and errors of the libraries."""
    logs.configure(keys={"pod": variables.get("POD_NAME", "")})
    logging.getLogger("procrastinate").setLevel(logging.WARNING)  # INFO adds two lines per task to the worker's own
    for name in ("procrastinate.worker", "procrastinate.worker.worker"):
        logging.getLogger(name).addFilter(_say_plainly)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # urllib3's warnings hold whole URLs


def _say_plainly(record: logging.LogRecord) -> bool:
    """Rewrite a line of procrastinate's worker as our lines are: a fixed event, and what differs in keys.

    The end of a job is left out, because QueueJobManager says it.
    """
    action = str(getattr(record, "action", ""))
    if action.startswith("job_"):
        return False
    if action:
        error = record.exc_info[1] if record.exc_info else None
        record.msg, record.args, record.exc_info = action.replace("_", " "), (), None
        record.__dict__["error"] = f"{type(error).__name__}: {error}" if error else record.__dict__.get("exception", "")
    return True


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
    health = Health(look_seconds=LOOK_SECONDS + creator_seconds(settings.poll))
    try:
        server = serve(health, settings.health_port)
    except OSError as error:
        message = f"HEALTH_PORT is {settings.health_port}: {error.strerror}; write a port that is free"
        raise WorkerSettingError(message) from error
    beating = asyncio.create_task(health.beat())
    try:
        with _pool(settings, concurrency) as pool, closing(Fetches(pool, settings.poll, settings.on_items)) as fetches:
            connector = PsycopgConnector(conninfo=settings.queue_conninfo(), min_size=1, max_size=4, timeout=10.0)
            jobs = _Jobs(connector, at_once=settings.poll.concurrency_per_host, stop=stop, looked=health.looked)
            app = _make_app(fetches, jobs, times)
            async with app.open_async():
                counting = asyncio.create_task(_show_depth(jobs, settings, every=times.depth))
                log.info("working", extra={"concurrency": concurrency, "port": server.server_port})
                try:
                    await _run_until_stopped(app, jobs, concurrency, times)
                finally:
                    counting.cancel()
    finally:
        beating.cancel()
        server.shutdown()
        server.server_close()


async def _run_until_stopped(app: App, jobs: QueueJobManager, concurrency: int, times: WorkerTimes) -> None:
    """Run the worker. If this coroutine is cancelled, the worker stops in order, and then the coroutine ends."""
    worker = _Worker(
        app,
        queues=[QUEUE],
        concurrency=concurrency,
        delete_jobs="successful",
        install_signal_handlers=False,
        fetch_job_polling_interval=times.poll,
        shutdown_graceful_timeout=times.graceful,
        update_heartbeat_interval=times.heartbeat,
        stalled_worker_timeout=times.stalled,
    )
    jobs.wake = worker.wake
    await worker.run()  # type: ignore[no-untyped-call]


class _Worker(Worker):
    """procrastinate's worker, which also looks for a job when another job has freed a place at a host."""

    def wake(self) -> None:
        """Look for a job now, as after a NOTIFY."""
        self._new_job_event.set()


class _Jobs(QueueJobManager):
    """Tells the health of each look for a job."""

    def __init__(
        self, connector: PsycopgConnector, *, at_once: int, stop: Callable[[], None], looked: Callable[[], None]
    ) -> None:
        super().__init__(connector, at_once=at_once, stop=stop)
        self._looked = looked

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Take a job, as QueueJobManager does."""
        job = await super().fetch_job(queues, worker_id)
        self._looked()
        return job


async def _show_depth(jobs: QueueJobManager, settings: WorkerSettings, *, every: float) -> None:
    """Count the queue's tasks for the metrics, every so many seconds, until cancelled."""
    about = {"queue": QUEUE, "task": FETCH, "at_once": settings.poll.concurrency_per_host}
    while True:
        with suppress(ConnectorException):  # the worker's own statements say so, or the tables are missing still
            (row,) = await jobs.connector.execute_query_all_async(query=DEPTH, **about)
            show_depth(row)
        await asyncio.sleep(every)


def _make_app(fetches: Fetches, jobs: QueueJobManager, times: WorkerTimes) -> App:
    app = App(connector=jobs.connector)
    app.job_manager = jobs
    app.task(name=FETCH, queue=QUEUE, retry=Backoff(jobs), pass_context=True)(fetches.fetch)

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
    """Return a pool of connections for creators, items and hosts, with a tick's settings: READ COMMITTED, nothing
    prepared, and autocommit, so that no lock outlives a statement outside of transaction().
    """
    os.environ["PGDATESTYLE"] = "ISO"  # libpq has no other way to say so, and every pooler understands it

    def configure(connection: Connection) -> None:
        connection.autocommit = True
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
