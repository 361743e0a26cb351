"""A queue on a real Postgres, with its creators and with workers as processes."""

from __future__ import annotations

import json
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from region_tick.handlers.enqueue import ENQUEUE, FETCH, LIMIT, QUEUE
from tests.database.tick_process import Process
from tests.harness.ticks import SOURCE, TICK_AT
from tests.harness.upstream import Asked, Upstream, conditional, replying
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

DRIVER = """
import asyncio, os, sys
from region_tick import upstreams
from region_worker import jobs
from region_worker.settings import WorkerSettings
from region_worker.worker import WorkerTimes, configure_logs, work
configure_logs(os.environ)
jobs.BACKOFF_SECONDS = jobs.BACKOFF_LIMIT_SECONDS = 2.0
knobs = dict(word.split("=") for word in sys.argv[1:])
upstreams.TRANSIENT_SECONDS = upstreams.TRANSIENT_LIMIT_SECONDS = float(knobs.pop("transient", 1))
times = WorkerTimes(**{name: float(value) for name, value in knobs.items()})
asyncio.run(work(WorkerSettings.read(os.environ), times))
"""
PARAMS = {"lang": "de"}
BBOX = ["8.44", "47.32", "8.63", "47.44"]
FAST = ("heartbeat=0.5", "stalled=5", "poll=0.2")
THE_ONE = ["1-1", "1-2"]
"""The items of creator 1."""
FEED = "<rss><channel><item><guid>{0}-1</guid></item><item><guid>{0}-2</guid></item></channel></rss>"


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

    def insert(self, url: str, platform: str = "http", *, region: str = "42") -> None:
        self.connection.execute(
            "INSERT INTO region_tick.creator (source, region_id, platform, url) VALUES (%s, %s, %s, %s)",
            (SOURCE, region, platform, url),
        )

    def enqueue(self, region: str = "42", *, tick_at: datetime = TICK_AT) -> None:
        """Do as the handler `enqueue` does."""
        about = {"queue": QUEUE, "task": FETCH, "source": SOURCE, "region_id": region, "region_code": "ch-zrh"}
        known = {"source": SOURCE, "id": region, "name": "Zürich", "bbox": BBOX, "cron": "* * * * *", "params": PARAMS}
        self.connection.execute(ENQUEUE, about | {"region": json.dumps(known), "tick_at": tick_at, "limit": LIMIT})

    def start(self, *knobs: str, **environment: str) -> Process:
        pod = {"DATABASE_URL": self.database, "POLL_ALLOW_NETWORKS": "127.0.0.0/8", "HEALTH_PORT": "0"} | environment
        self.processes.append(Process(self.folder, pod, "-c", DRIVER, *FAST, *knobs))
        return self.processes[-1]

    def start_busy(self, *knobs: str, **environment: str) -> tuple[Process, Event]:
        """Start a worker that has the one task there is, whose upstream does not answer until the event is set."""
        released = Event()
        self.insert(blocking(self.server, 1, released))
        self.enqueue()
        worker = self.start(*knobs, **environment)
        eventually(lambda: self.server.asked, what="the upstream is asked")
        return worker, released

    def close(self) -> None:
        """End the workers."""
        self.connection.close()
        for process in self.processes:
            with process.popen:
                process.popen.kill()

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


def blocking(server: Upstream, number: int, released: Event) -> str:
    """A feed whose first answer waits until it is released; return its URL."""

    def block(asked: Asked) -> None:
        released.wait(60)
        asked.answer(200, FEED.format(number).encode())

    return server.on(f"/{number}", block, replying(200, FEED.format(number).encode()))
