"""Many creators of many regions, on five hosts of which two are dead and one is slow: two workers, and eight ticks.

The hosts are servers on addresses of their own, which see what reaches them. The short form takes half a minute, the
long form ten. Both forms promise the same:

- the creators of the healthy hosts are asked in time,
- a dead host is asked at most once a minute, once three requests have failed,
- no host has more requests at once than its limit, whoever asks.
"""

from __future__ import annotations

import select
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import ExitCode
from region_tick.retry import ATTEMPTS
from region_tick.shared_places import FAILURES
from tests.database.tick_process import Process
from tests.database.worker_queue import FEED, Queue
from tests.harness.long import rounds
from tests.harness.ticks import TICK_AT, variables
from tests.harness.upstream import Asked, Upstream, upstream
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CREATORS, REGIONS, AT_ONCE = 1000, 50, 2
SECONDS = rounds(30, long=600)
ROUND_SECONDS = min(SECONDS, 60)
"""In this time, each region ticks once."""
SLOW_SECONDS = 0.5
HEALTHY_SECONDS = 0.02


class Host:
    """A server on an address of its own, which keeps when each request came, and how many there were at once."""

    def __init__(self, server: Upstream, kind: str) -> None:
        self.server, self.kind = server, kind
        self.times: list[tuple[float, str]] = []
        self.most = self._now = 0
        self._lock = Lock()
        server.default = self._answer

    def _answer(self, asked: Asked) -> None:
        with self._lock:
            self.times.append((time.monotonic(), asked.path))
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            if self.kind == "hangs":
                until_hung_up(asked)
            else:
                asked.closing.wait(SLOW_SECONDS if self.kind == "slow" else HEALTHY_SECONDS)
        finally:
            with self._lock:
                self._now -= 1
        match self.kind:
            case "hangs":
                asked.handler.close_connection = True
            case "fails":
                asked.answer(503)
            case _ if "if-none-match" in asked.headers:
                asked.answer(304, etag='"1"')
            case _:
                asked.answer(200, FEED.format(asked.path[1:]).encode(), etag='"1"')

    def paths(self, *, since: float = 0.0) -> list[str]:
        return [path for at, path in self.times if at >= since]

    def most_in_a_minute(self, *, after: int) -> int:
        """Return the most requests of any 60 seconds, without the first `after` requests."""
        times = [at for at, _ in self.times][after:]
        return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)


def until_hung_up(asked: Asked) -> None:
    """Answer nothing until the client closes the connection."""
    while not asked.closing.is_set():
        readable, _, _ = select.select([asked.handler.connection], [], [], 0.1)
        if readable:
            return


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two dead hosts, one of which hangs, a slow host and two healthy ones."""
    with ExitStack() as stack:
        kinds = ("hangs", "fails", "slow", "healthy", "healthy")
        yield [
            Host(stack.enter_context(upstream(address=f"127.0.0.{number}")), kind)
            for number, kind in enumerate(kinds, start=11)
        ]


@pytest.fixture
def queue(tmp_path: Path, database: str, server: Upstream) -> Iterator[Queue]:
    queue = Queue(tmp_path, database, server)
    yield queue
    queue.close()


def add_creators(queue: Queue, hosts: Sequence[Host], creators: int, regions: int) -> None:
    """Give each region creators of each host."""
    for number in range(creators):
        host = hosts[number % len(hosts)]
        queue.insert(f"{host.server.url}/{number}", region=f"region-{number // len(hosts) % regions}")


def test_two_workers_ask_healthy_creators_in_time_and_sick_hosts_rarely(queue: Queue, hosts: list[Host]) -> None:
    """The regions tick one after the other."""
    add_creators(queue, hosts, CREATORS, REGIONS)
    for _ in range(2):
        worker = queue.start("poll=1", POLL_REQUEST_SECONDS="5")
        worker.until("working")
        Thread(target=read_on, args=(worker,), daemon=True).start()
    began = time.monotonic()
    ticks: list[tuple[float, str]] = []
    for tick in range(SECONDS // ROUND_SECONDS * REGIONS):
        time.sleep(max(0.0, began + tick * ROUND_SECONDS / REGIONS - time.monotonic()))
        region = f"region-{tick % REGIONS}"
        ticks.append((time.monotonic(), region))
        queue.enqueue(region, tick_at=TICK_AT + timedelta(days=1, minutes=tick // REGIONS))
    eventually(lambda: not is_waiting(queue, hosts), what="the creators of the healthy hosts are fetched", seconds=60)
    delays = sorted(delays_of(hosts, ticks))
    p95 = delays[int(len(delays) * 0.95)]
    for host in hosts:
        print(
            f"{host.kind}: {len(host.times)} requests, {host.most} at once,"
            f" {host.most_in_a_minute(after=FAILURES + AT_ONCE - 1)} a minute"
        )
    print(f"{len(delays)} requests were due at the healthy hosts: p95 {p95:.1f} s, most {delays[-1]:.1f} s")
    check_limits(hosts)
    assert p95 < 10


def is_waiting(queue: Queue, hosts: Sequence[Host]) -> bool:
    """Tell whether a task of a healthy host is left."""
    healthy = {host.server.host for host in hosts if host.kind == "healthy"}
    return any(job["args"]["host"] in healthy for job in queue.jobs())


def read_on(worker: Process) -> None:
    """Read a worker's log to its end: a worker whose log nobody reads stands still."""
    assert worker.popen.stdout is not None
    with suppress(ValueError):  # closed, when the test ends
        worker.lines += worker.popen.stdout


def delays_of(hosts: Sequence[Host], ticks: Sequence[tuple[float, str]]) -> Iterator[float]:
    """Return for each tick and each healthy creator of its region how long after the tick the creator was asked."""
    asked: dict[str, list[float]] = {}
    for host in hosts:
        if host.kind == "healthy":
            for at, path in host.times:
                asked.setdefault(path, []).append(at)
    for number in range(CREATORS):
        if hosts[number % len(hosts)].kind == "healthy":
            region = f"region-{number // len(hosts) % REGIONS}"
            times = asked.get(f"/{number}", [])
            for due in (at for at, name in ticks if name == region):
                yield min((at - due for at in times if at >= due), default=float("inf"))


def check_limits(hosts: Sequence[Host]) -> None:
    assert max(host.most for host in hosts) <= AT_ONCE
    for host in hosts:
        if host.kind in ("hangs", "fails"):
            assert len(host.times) >= FAILURES
            assert host.most_in_a_minute(after=FAILURES + AT_ONCE - 1) <= 1


def test_eight_ticks_at_once_keep_the_limits_together(queue: Queue, hosts: list[Host]) -> None:
    """The second round asks the dead hosts once each at most, and transfers only 304s."""
    regions = [f"region-{number}" for number in range(8)]
    add_creators(queue, hosts, rounds(160, long=800), len(regions))
    first = datetime.now(UTC).replace(second=0, microsecond=0)
    for number in range(2):
        before = time.monotonic()
        processes = [start_tick(queue, region, first + timedelta(hours=number)) for region in regions]
        codes = [process.exit_code() for process in processes]
        assert set(codes) == {ExitCode.FINAL}, [process.lines for process in processes]
        print(f"round {number + 1}: {time.monotonic() - before:.1f} s")
        for host in hosts:
            print(f"{host.kind}: {len(host.paths(since=before))} requests, {host.most} at once")
    assert max(host.most for host in hosts) <= AT_ONCE
    for host in hosts:
        if host.kind in ("hangs", "fails"):
            assert host.most_in_a_minute(after=ATTEMPTS * AT_ONCE + FAILURES - 1) <= 1
        else:
            assert len(host.times) == 2 * len(set(host.paths()))
    assert {row["state"] for row in queue.rows("SELECT state FROM region_tick.job_run")} == {"succeeded"}


def start_tick(queue: Queue, region: str, tick_at: datetime) -> Process:
    pod: dict[str, Any] = variables(
        queue.database, tick_at=tick_at, HANDLER="poll", REGION_ID=region, TIMEOUT_SECONDS="300"
    )
    settings = {"POLL_ALLOW_NETWORKS": "127.0.0.0/8", "POLL_REQUEST_SECONDS": "3"}
    queue.processes.append(Process(queue.folder, pod | settings, "-m", "region_tick"))
    return queue.processes[-1]
