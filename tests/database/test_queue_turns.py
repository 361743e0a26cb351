"""Whose turn it is in the queue: hosts and regions take turns, and nobody waits for somebody else's host."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.database.worker_queue import FEED, Queue
from tests.harness.ticks import TICK_AT
from tests.harness.upstream import Asked, Upstream, replying, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Asks:
    """When each path of any server was asked, and how many requests were under way at once."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self.order: list[str] = []
        self.most = self._now = 0
        self._lock = Lock()

    def begin(self, asked: Asked) -> None:
        with self._lock:
            self.times.setdefault(asked.path, time.monotonic())
            self.order.append(asked.path)
            self._now += 1
            self.most = max(self.most, self._now)

    def end(self) -> None:
        with self._lock:
            self._now -= 1

    def hanging(self, asked: Asked) -> None:
        """Never answer."""
        self.begin(asked)
        asked.closing.wait(120)
        self.end()

    def answering(self, seconds: float = 0.0) -> Callable[[Asked], None]:
        def answer(asked: Asked) -> None:
            self.begin(asked)
            asked.closing.wait(seconds)
            self.end()
            asked.answer(200, FEED.format(asked.path[1:]).encode())

        return answer


@pytest.fixture
def queue(tmp_path: Path, database: str, server: Upstream) -> Iterator[Queue]:
    queue = Queue(tmp_path, database, server)
    yield queue
    queue.close()


@pytest.fixture
def other() -> Iterator[Upstream]:
    """A server on another address."""
    with upstream(address="127.0.0.2") as running:
        yield running


def test_the_dead_creators_of_a_region_do_not_hold_up_another_region(queue: Queue, other: Upstream) -> None:
    asks = Asks()
    for number in range(12):
        queue.insert(other.on(f"/dead-{number}", asks.hanging), region="A")
    healthy = [f"/{number}" for number in range(20)]
    for path in healthy:
        queue.insert(queue.server.on(path, asks.answering()), region="B")
    queue.start("poll=1").until("working")
    queue.enqueue("A")
    queue.enqueue("B")
    began = time.monotonic()
    eventually(lambda: all(path in asks.times for path in healthy), what="region B is asked", seconds=120)
    delay = max(asks.times[path] for path in healthy) - began
    print(f"20 healthy creators were asked within {delay:.1f} s")
    assert delay < 15, "a request that hangs is waited for longer"


def test_a_slow_host_does_not_keep_another_hosts_creators_waiting(queue: Queue, other: Upstream) -> None:
    slow, quick = Asks(), Asks()
    for number in range(40):
        queue.insert(other.on(f"/slow-{number}", slow.answering(1.0)))
    for number in range(10):
        queue.insert(queue.server.on(f"/{number}", quick.answering()), region="B")
    queue.start("poll=1").until("working")
    queue.enqueue()
    queue.enqueue("B")
    eventually(lambda: len(quick.times) == 10, what="the other host is asked", seconds=60)
    assert len(slow.times) < 30
    queue.until_empty(90)
    assert slow.most == 2


def test_regions_take_turns_at_a_host(queue: Queue, server: Upstream) -> None:
    """The second region's creators need not wait for a region that enqueued many before."""
    asks = Asks()
    for number in range(40):
        queue.insert(server.on(f"/many-{number}", asks.answering()))
    for number in range(3):
        queue.insert(server.on(f"/few-{number}", asks.answering()), region="B")
    queue.enqueue()
    queue.enqueue("B")
    queue.start(POLL_CONCURRENCY="1")
    queue.until_empty()
    assert all(asks.order.index(f"/few-{number}") < 12 for number in range(3))


def test_who_failed_does_not_overtake_who_did_not(queue: Queue, other: Upstream) -> None:
    asks = Asks()
    queue.insert(queue.server.on("/ill", replying(503)))
    queue.enqueue()
    first = queue.start(POLL_CONCURRENCY="1")
    eventually(lambda: any(job["attempts"] for job in queue.jobs()), what="the creator was tried once")
    first.popen.kill()
    first.popen.wait()
    queue.connection.execute("UPDATE region_tick.procrastinate_jobs SET scheduled_at = clock_timestamp()")
    queue.connection.execute("UPDATE region_tick.upstream SET not_before = NULL")
    for number in range(10):
        queue.insert(other.on(f"/{number}", asks.answering()), region="B")
    queue.enqueue("B")
    queue.start(POLL_CONCURRENCY="1")
    eventually(lambda: len(queue.server.asked) > 1, what="the creator is tried again")
    assert len(asks.times) == 10


def test_a_dead_host_is_asked_by_a_probe_whatever_is_enqueued(queue: Queue, other: Upstream) -> None:
    """The next tick's tasks do not start anew: the host's failures are in the database."""
    other.on("/", replying(503))
    with ExitStack() as stack:
        dead = stack.enter_context(upstream(address="127.0.0.3"))
        for number in range(12):
            queue.insert(f"{dead.url}/{number}")
        dead.default = lambda asked: asked.answer(503)
        queue.enqueue()
        queue.start("poll=0.2")
        eventually(
            lambda: queue.rows("SELECT FROM region_tick.host WHERE not_before > clock_timestamp()"),
            what="the host is left alone",
        )
        queue.connection.execute("UPDATE region_tick.host SET not_before = not_before + interval '1 hour'")
        doing = "SELECT FROM region_tick.procrastinate_jobs WHERE task_name = 'region_tick.fetch' AND status = 'doing'"
        eventually(lambda: not queue.rows(doing), what="no request is under way")
        asked = len(dead.asked)
        queue.connection.execute(
            "DELETE FROM region_tick.procrastinate_jobs WHERE task_name = 'region_tick.fetch' AND status = 'todo'"
        )
        queue.connection.execute("UPDATE region_tick.upstream SET not_before = NULL")
        queue.enqueue(tick_at=TICK_AT + timedelta(minutes=1))
        queue.start("poll=0.2").until("working")
        time_of_a_round(queue, other)
        assert len(dead.asked) == asked
        queue.connection.execute("UPDATE region_tick.host SET not_before = clock_timestamp()")
        eventually(lambda: len(dead.asked) > asked, what="a probe")
        time_of_a_round(queue, other)
        assert len(dead.asked) == asked + 1


def time_of_a_round(queue: Queue, other: Upstream) -> None:
    """Wait until the workers have looked at the queue again, and have fetched another creator."""
    path = f"/round-{len(other.asked)}"
    queue.insert(other.on(path, replying(200, b"<rss/>")), region=path)
    queue.enqueue(path, tick_at=TICK_AT + timedelta(minutes=2))
    eventually(lambda: path in other.paths(), what="the other creator is fetched")


def test_a_task_that_failed_for_good_says_what_happened(queue: Queue, server: Upstream) -> None:
    queue.insert(server.on("/ill", replying(503)))
    queue.enqueue()
    queue.connection.execute("UPDATE region_tick.procrastinate_jobs SET attempts = 9")
    worker = queue.start()
    eventually(lambda: queue.jobs()[0]["status"] == "failed", what="the task has failed")
    assert queue.jobs()[0]["args"]["error"] == "NotFetchedError: 127.0.0.1 answers 503"
    worker.until("task failed")
    (line,) = [event for event in worker.events() if event["level"] == "error"]
    assert line["event"] == "task failed"
    assert line["error"] == "NotFetchedError: 127.0.0.1 answers 503"
    assert "traceback" not in line


def test_a_database_that_knows_no_hosts_yet_has_its_tasks_done(queue: Queue) -> None:
    """Workers are upgraded before the operator has migrated: each keeps the limits alone."""
    queue.connection.execute("DROP TABLE region_tick.host, region_tick.host_place")
    for number in range(5):
        queue.add(number)
    queue.enqueue()
    worker = queue.start()
    queue.until_empty()
    assert len(queue.server.asked) == 5
    worker.until("limits of hosts hold in this process only")


def test_a_worker_serves_metrics_and_whether_it_is_live(queue: Queue) -> None:
    queue.add(1)
    queue.insert(queue.server.on("/ill", replying(503)))
    queue.enqueue()
    worker = queue.start("depth=0.2")
    worker.until("working")
    (working,) = [event for event in worker.events() if event["event"] == "working"]
    url = f"http://127.0.0.1:{working['port']}"

    def served() -> str:
        with urlopen(f"{url}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    wanted = (
        'region_worker_tasks_total{result="fetched"} 1.0',
        'region_worker_requests_total{answer="2xx"} 1.0',
        'region_worker_requests_total{answer="5xx"}',
        'region_worker_queue_tasks{state="later"} 1.0',
        "region_worker_oldest_due_task_seconds ",
    )
    eventually(lambda: all(line in served() for line in wanted), what="the metrics show both tasks")
    with urlopen(f"{url}/healthz", timeout=10) as answer:
        assert answer.read() == b"ok\n"
