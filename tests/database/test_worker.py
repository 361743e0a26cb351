"""Workers as processes on a real Postgres and a real HTTP server: whatever becomes of a worker, no task is lost."""

from __future__ import annotations

import os
import signal
from threading import Event
from typing import TYPE_CHECKING

import pytest

from region_tick.contract import ExitCode
from region_tick.handlers.enqueue import FETCH
from tests.database.tick_process import Process
from tests.database.worker_queue import FEED, THE_ONE, Queue, blocking
from tests.harness.pgbouncer import PgBouncer
from tests.harness.upstream import Asked, Upstream, replying, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as running:
        yield running


@pytest.fixture
def queue(tmp_path: Path, database: str, server: Upstream) -> Iterator[Queue]:
    queue = Queue(tmp_path, database, server)
    yield queue
    queue.close()


def test_tasks_are_fetched_as_poll_fetches(queue: Queue) -> None:
    for number in range(10):
        queue.add(number)
    queue.enqueue()
    worker = queue.start()
    queue.until_empty()
    assert len(queue.items()) == 20
    assert {row["etag"] for row in queue.rows("SELECT etag FROM region_tick.upstream")} == {
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
    connections = {asked.handler.client_address for asked in queue.server.asked}
    assert len(connections) <= 2, "a connection serves one task after the other"


def test_new_tasks_are_taken_at_once(queue: Queue) -> None:
    """By NOTIFY: this worker looks for itself once in ten minutes."""
    worker = queue.start("poll=600")
    worker.until("working")
    eventually(lambda: listening(queue), what="the worker listens")
    queue.add(1)
    queue.enqueue()
    queue.until_empty()


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


def test_a_creator_that_a_person_paused_gets_nothing(queue: Queue) -> None:
    queue.add(1)
    queue.insert(f"{queue.server.url}/1", region="43")
    for region in ("42", "43"):
        queue.enqueue(region)
    queue.connection.execute("UPDATE region_tick.creator SET not_before = 'infinity' WHERE region_id = '43'")
    queue.start()
    queue.until_empty()
    assert queue.items() == THE_ONE


def test_a_killed_worker_loses_no_task(queue: Queue, server: Upstream) -> None:
    released = Event()
    for number in range(30):
        if number % 3:
            queue.add(number)
        else:
            queue.insert(blocking(server, number, released))
    queue.enqueue()
    settings = {"POLL_CONCURRENCY_PER_HOST": "8", "POLL_REQUEST_SECONDS": "10"}
    victims = [queue.start(**settings) for _ in range(2)]
    blocked = {f"/{number}" for number in range(0, 30, 3)}
    eventually(lambda: len(blocked.intersection(server.paths())) == 8, what="all places are held by what blocks")
    for victim in victims:
        victim.popen.kill()
        victim.popen.wait()
    left = queue.jobs()
    assert [job["status"] for job in left].count("doing") == 8
    released.set()
    successor = queue.start(**settings)
    queue.until_empty(120)
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
    queue.start(POLL_CONCURRENCY_PER_HOST="1")
    eventually(lambda: len(queue.jobs()) == 4, what="the task that was asked for is done")
    (host,) = queue.rows(
        "SELECT name, failures, last_error, extract(epoch FROM not_before - clock_timestamp())::int AS wait"
        " FROM region_tick.host"
    )
    assert 540 < host.pop("wait") <= 600
    assert host == {"name": server.host, "failures": 0, "last_error": "127.0.0.1 answers 429"}
    queue.start(POLL_CONCURRENCY_PER_HOST="1").until("working")
    queue.connection.execute("UPDATE region_tick.host SET not_before = clock_timestamp()")
    eventually(lambda: len(queue.jobs()) == 3, what="the host is asked again, and throttles again", seconds=90)
    assert len(server.asked) == 2
    assert [job["attempts"] for job in queue.jobs()] == [0, 0, 0]


def test_a_retry_gives_way_to_the_creators_next_task(queue: Queue, server: Upstream) -> None:
    """procrastinate refuses a second waiting job with the same queueing lock (its issue 1446)."""
    released = Event()

    def fail(asked: Asked) -> None:
        released.wait(60)
        asked.answer(503)

    queue.insert(server.on("/1", fail, replying(200, FEED.format(1).encode())))
    queue.enqueue()
    queue.start("transient=60", POLL_CONCURRENCY="1")
    eventually(lambda: server.asked, what="the upstream is asked")
    queue.enqueue()
    assert [job["status"] for job in queue.jobs()] == ["doing", "todo"]
    released.set()
    queue.until_empty()
    assert server.paths() == ["/1"], "the next task finds that the upstream is left alone"
    queue.connection.execute("UPDATE region_tick.upstream SET not_before = NULL")
    queue.enqueue()
    queue.until_empty()
    assert queue.items() == THE_ONE


def test_a_stalled_task_gives_way_to_the_creators_next_one(queue: Queue) -> None:
    victim, released = queue.start_busy(POLL_REQUEST_SECONDS="5")
    victim.popen.kill()
    queue.enqueue()
    assert [job["status"] for job in queue.jobs()] == ["doing", "todo"]
    released.set()
    queue.start()
    queue.until_empty(120)
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
        (
            {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "HEALTH_PORT": "none"},
            ExitCode.CONFIGURATION,
            "HEALTH_PORT is 'none'",
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
    process = Process(tmp_path, {"DATABASE_URL": empty_database, "HEALTH_PORT": "0"}, "-m", "region_worker")
    with process.popen:
        assert process.exit_code() == ExitCode.AGAIN
    assert process.events()[-1]["event"] == "queue unavailable"
