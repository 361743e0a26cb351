"""Workers as processes on a real Postgres and a real HTTP server: whatever becomes of a worker, no task is lost."""

from __future__ import annotations

import os
import signal
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from region_tick.contract import ExitCode
from region_tick.handlers.enqueue import ENQUEUE, FETCH, LIMIT, QUEUE
from tests.database.tick_process import Process
from tests.harness.pgbouncer import PgBouncer
from tests.harness.ticks import SOURCE, TICK_AT
from tests.harness.upstream import Asked, Upstream, conditional, replying, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DRIVER = """
import asyncio, os, sys
from region_worker import jobs
from region_worker.settings import WorkerSettings
from region_worker.worker import WorkerTimes, configure_logs, work
configure_logs(os.environ)
jobs.BACKOFF_SECONDS = jobs.BACKOFF_LIMIT_SECONDS = 2.0
knobs = dict(word.split("=") for word in sys.argv[1:])
times = WorkerTimes(**{name: float(value) for name, value in knobs.items()})
asyncio.run(work(WorkerSettings.read(os.environ), times))
"""
FAST = ("heartbeat=0.5", "stalled=2", "poll=0.2")
THE_ONE = ["1-1", "1-2"]
"""The items of creator 1."""
FEED = "<rss><channel><item><guid>{0}-1</guid></item><item><guid>{0}-2</guid></item></channel></rss>"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


class Queue:
    """The queue of one database, its creators and its workers."""

    def __init__(self, folder: Path, database: str, server: Upstream) -> None:
        self.folder, self.database, self.server = folder, database, server
        self.connection = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.processes: list[Process] = []

    def add(self, number: int) -> None:
        """Add a creator whose feed has two items."""
        url = self.server.on(f"/{number}", conditional(FEED.format(number).encode(), etag=f'"{number}"'))
        self.insert(url)

    def insert(self, url: str, platform: str = "http") -> None:
        self.connection.execute(
            "INSERT INTO region_tick.creator (source, region_id, platform, url) VALUES (%s, '42', %s, %s)",
            (SOURCE, platform, url),
        )

    def enqueue(self) -> None:
        """Do as the handler `enqueue` does."""
        about = {"queue": QUEUE, "task": FETCH, "source": SOURCE, "region_id": "42", "region_code": "ch-zrh"}
        self.connection.execute(ENQUEUE, about | {"tick_at": TICK_AT, "limit": LIMIT})

    def start(self, *knobs: str, **environment: str) -> Process:
        pod = {"DATABASE_URL": self.database, "POLL_ALLOW_NETWORKS": "127.0.0.0/8"} | environment
        self.processes.append(Process(self.folder, pod, "-c", DRIVER, *FAST, *knobs))
        return self.processes[-1]

    def start_busy(self, *knobs: str) -> tuple[Process, Event]:
        """Start a worker that has the one task there is, whose upstream does not answer until the event is set."""
        released = Event()
        self.insert(blocking(self.server, 1, released))
        self.enqueue()
        worker = self.start(*knobs)
        eventually(lambda: self.server.asked, what="the upstream is asked")
        return worker, released

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.connection.execute(query.encode()).fetchall()

    def jobs(self) -> list[dict[str, Any]]:
        return self.rows(f"SELECT * FROM region_tick.procrastinate_jobs WHERE task_name = '{FETCH}' ORDER BY id")

    def items(self) -> list[str]:
        return [
            row["item_id"] for row in self.rows("SELECT item_id FROM region_tick.item ORDER BY creator_id, item_id")
        ]

    def until_empty(self, seconds: float = 60) -> None:
        eventually(lambda: not self.jobs(), what="the queue is empty", seconds=seconds)


@pytest.fixture
def queue(tmp_path: Path, database: str, server: Upstream) -> Iterator[Queue]:
    queue = Queue(tmp_path, database, server)
    yield queue
    queue.connection.close()
    for process in queue.processes:
        with process.popen:
            process.popen.kill()


def blocking(server: Upstream, number: int, released: Event) -> str:
    """A feed whose first answer waits until it is released; return its URL."""

    def block(asked: Asked) -> None:
        released.wait(60)
        asked.answer(200, FEED.format(number).encode())

    return server.on(f"/{number}", block, replying(200, FEED.format(number).encode()))


def test_tasks_are_fetched_as_poll_fetches(queue: Queue) -> None:
    for number in range(10):
        queue.add(number)
    queue.enqueue()
    worker = queue.start()
    queue.until_empty()
    assert len(queue.items()) == 20
    assert {row["etag"] for row in queue.rows("SELECT etag FROM region_tick.creator")} == {
        f'"{number}"' for number in range(10)
    }
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.exit_code() == ExitCode.FINAL
    fetched = [event for event in worker.events() if event["event"] == "fetched"]
    assert len(fetched) == 10
    assert {event["region.code"] for event in fetched} == {"ch-zrh"}
    assert {(event["level"], event["attempt"], event["items"], event["modified"]) for event in fetched} == {
        ("info", 1, 2, True)
    }
    assert queue.rows("SELECT * FROM region_tick.procrastinate_workers") == []


def test_new_tasks_are_taken_at_once(queue: Queue) -> None:
    """By NOTIFY: this worker looks for itself once in ten minutes."""
    worker = queue.start("poll=600")
    worker.until("working")
    eventually(lambda: listening(queue), what="the worker listens")
    queue.add(1)
    queue.enqueue()
    queue.until_empty(30)


def listening(queue: Queue) -> bool:
    return bool(queue.rows("SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"))


def test_a_task_that_was_done_already_asks_nobody(queue: Queue) -> None:
    """What a killed worker had written but not told of is not fetched again."""
    queue.add(1)
    queue.enqueue()
    queue.connection.execute("UPDATE region_tick.creator SET last_polled_at = clock_timestamp()")
    worker = queue.start()
    queue.until_empty()
    assert queue.server.asked == []
    worker.until("nothing to fetch")


def test_a_killed_worker_loses_no_task(queue: Queue, server: Upstream) -> None:
    released = Event()
    for number in range(30):
        if number % 3:
            queue.add(number)
        else:
            queue.insert(blocking(server, number, released))
    queue.enqueue()
    victims = [queue.start(POLL_CONCURRENCY_PER_HOST="4") for _ in range(2)]
    blocked = {f"/{number}" for number in range(0, 30, 3)}
    eventually(lambda: len(blocked.intersection(server.paths())) == 8, what="all places are held by what blocks")
    for victim in victims:
        victim.popen.kill()
        victim.popen.wait()
    left = queue.jobs()
    assert [job["status"] for job in left].count("doing") == 8
    released.set()
    successor = queue.start()
    queue.until_empty()
    assert sorted(queue.items()) == sorted(f"{number}-{part}" for number in range(30) for part in (1, 2))
    assert {row["failures"] for row in queue.rows("SELECT failures FROM region_tick.creator")} == {0}
    successor.popen.send_signal(signal.SIGTERM)
    assert successor.exit_code() == ExitCode.FINAL
    taken = [event for event in successor.events() if event["event"] == "stalled job taken from its worker"]
    assert sorted(event["arguments"]["creator_id"] for event in taken if event["task"] == FETCH) == sorted(
        job["args"]["creator_id"] for job in left if job["status"] == "doing"
    )


def test_a_frozen_workers_task_is_anothers_and_it_starts_afresh_when_it_thaws(queue: Queue) -> None:
    frozen, released = queue.start_busy()
    frozen.popen.send_signal(signal.SIGSTOP)
    queue.start()
    queue.until_empty()
    frozen.popen.send_signal(signal.SIGCONT)
    released.set()
    assert frozen.exit_code() != ExitCode.FINAL
    assert queue.items() == THE_ONE


def test_sigterm_lets_what_is_under_way_end(queue: Queue) -> None:
    worker, released = queue.start_busy()
    worker.popen.send_signal(signal.SIGTERM)
    worker.until("stopping")
    queue.add(2)
    queue.enqueue()
    released.set()
    assert worker.exit_code() == ExitCode.FINAL
    assert queue.items() == THE_ONE
    assert [job["status"] for job in queue.jobs()] == ["todo", "todo"]


def test_sigterm_gives_back_what_takes_too_long(queue: Queue) -> None:
    worker, released = queue.start_busy("graceful=0.5")
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.exit_code() == ExitCode.FINAL
    (job,) = queue.jobs()
    assert (job["status"], job["attempts"]) == ("todo", 1)
    released.set()
    queue.start()
    queue.until_empty()
    assert queue.items() == THE_ONE


def test_what_may_pass_is_tried_again_later(queue: Queue, server: Upstream) -> None:
    url = server.on("/1", *[replying(503)] * 3, replying(200, FEED.format(1).encode()))
    queue.insert(url)
    queue.enqueue()
    worker = queue.start()
    worker.until("creator not fetched")
    queue.until_empty()
    assert queue.items() == THE_ONE
    assert server.paths() == ["/1"] * 4


def test_what_is_refused_is_on_record_and_done(queue: Queue, server: Upstream) -> None:
    queue.insert(server.on("/gone", replying(410)))
    queue.insert("https://upstream.test/", platform="minitel")
    queue.enqueue()
    queue.start()
    queue.until_empty()
    errors = [row["last_error"] for row in queue.rows("SELECT last_error FROM region_tick.creator ORDER BY id")]
    assert "answers 410" in errors[0]
    assert "'minitel' is unknown" in errors[1]


def test_a_throttling_host_is_left_alone(queue: Queue, server: Upstream) -> None:
    for number in range(5):
        queue.insert(server.on(f"/{number}", replying(429, headers={"retry-after": "600"})))
    queue.enqueue()
    queue.start(POLL_CONCURRENCY="1")
    queue.until_empty()
    assert len(server.asked) == 1
    waits = queue.rows(
        "SELECT extract(epoch FROM not_before - clock_timestamp())::int AS wait FROM region_tick.creator"
    )
    assert all(540 < row["wait"] <= 600 for row in waits)


def test_a_retry_gives_way_to_the_creators_next_task(queue: Queue, server: Upstream) -> None:
    """procrastinate refuses a second waiting job with the same queueing lock (its issue 1446)."""
    released = Event()

    def fail(asked: Asked) -> None:
        released.wait(60)
        asked.answer(503, b"", retry_after="nonsense")

    queue.insert(server.on("/1", fail, replying(503), replying(503), replying(200, FEED.format(1).encode())))
    queue.enqueue()
    queue.start(POLL_CONCURRENCY="1")
    eventually(lambda: server.asked, what="the upstream is asked")
    queue.enqueue()
    assert [job["status"] for job in queue.jobs()] == ["doing", "todo"]
    released.set()
    queue.until_empty()
    assert queue.items() == THE_ONE


def test_a_stalled_task_gives_way_to_the_creators_next_one(queue: Queue) -> None:
    victim, released = queue.start_busy()
    victim.popen.kill()
    queue.enqueue()
    assert [job["status"] for job in queue.jobs()] == ["doing", "todo"]
    released.set()
    queue.start()
    queue.until_empty()
    assert queue.items() == THE_ONE


def test_a_task_that_kills_its_workers_does_not_for_ever(queue: Queue) -> None:
    queue.add(1)
    queue.enqueue()
    queue.connection.execute("UPDATE region_tick.procrastinate_jobs SET status = 'doing', attempts = 9")
    queue.start()
    eventually(lambda: queue.jobs()[0]["status"] == "failed", what="the task has failed")
    assert queue.server.asked == []


def test_a_worker_that_cannot_write_how_a_task_ended_ends_itself(queue: Queue) -> None:
    """Its job would be `doing` as long as it lives: heartbeats go on."""
    worker, released = queue.start_busy()
    queue.connection.execute(
        "ALTER FUNCTION region_tick.procrastinate_finish_job_v1 RENAME TO procrastinate_finish_job_away"
    )
    released.set()
    assert worker.exit_code() != ExitCode.FINAL
    assert "QueueUnavailableError" in worker.errors
    queue.connection.execute(
        "ALTER FUNCTION region_tick.procrastinate_finish_job_away RENAME TO procrastinate_finish_job_v1"
    )
    queue.start()
    queue.until_empty()
    assert queue.items() == THE_ONE


def test_a_worker_whose_connections_are_cut_goes_on_or_starts_afresh_and_loses_nothing(queue: Queue) -> None:
    for number in range(50):
        queue.add(number)
    worker = queue.start()
    worker.until("working")
    queue.enqueue()
    for _ in range(5):
        queue.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if worker.popen.poll() is not None:
            worker = queue.start()
    queue.start()
    queue.until_empty()
    assert len(queue.items()) == 100


def test_what_is_fetched_may_go_through_a_pgbouncer(queue: Queue) -> None:
    for number in range(5):
        queue.add(number)
    queue.enqueue()
    with PgBouncer.before(queue.database) as pooler:
        queue.start(DATABASE_URL=pooler.url, DATABASE_DIRECT_URL=queue.database)
        queue.until_empty()
    assert len(queue.items()) == 10


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({}, ExitCode.CONFIGURATION, "DATABASE_URL is missing"),
        ({"DATABASE_URL": "mysql://here/"}, ExitCode.CONFIGURATION, "DATABASE_URL cannot be used"),
        (
            {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "POLL_CONCURRENCY": "many"},
            ExitCode.CONFIGURATION,
            "POLL_CONCURRENCY is 'many'",
        ),
    ],
)
def test_an_environment_that_cannot_be_used(
    tmp_path: Path, environment: dict[str, str], code: ExitCode, said: str
) -> None:
    process = Process(tmp_path, {"PATH": os.defpath} | environment, "-m", "region_worker")
    with process.popen:
        assert process.exit_code() == code, process.lines
    (line,) = process.lines
    assert said in line
    assert process.errors == ""


def test_a_database_without_our_schema_is_a_reason_to_start_again(tmp_path: Path, empty_database: str) -> None:
    process = Process(tmp_path, {"DATABASE_URL": empty_database}, "-m", "region_worker")
    with process.popen:
        assert process.exit_code() == ExitCode.AGAIN
    assert process.events()[-1]["event"] == "queue unavailable"
