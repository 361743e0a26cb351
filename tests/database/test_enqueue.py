"""enqueue as it runs in its pod: tasks become visible with the end of the tick, once each, whatever dies."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.rows import dict_row

from region_tick.contract import ExitCode, Variable
from region_tick.effects import Effects
from region_tick.fetch import host_of
from region_tick.handlers import LeaseLostError, Tick, Window
from region_tick.handlers.enqueue import ENQUEUE, FETCH, LIMIT, QUEUE, enqueue
from region_tick.turns import ATTACH, MAKE_UPSTREAMS
from tests.database.tick_process import Process, Ticks
from tests.harness.pgbouncer import PgBouncer
from tests.harness.ticks import SOURCE, TICK_AT, Observer, environment, first, variables

if TYPE_CHECKING:
    import psycopg


def add(observer: Observer, number: int, **values: Any) -> int:
    row = {"source": SOURCE, "region_id": "42", "platform": "http", "url": f"https://upstream.test/{number}"} | values
    columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    added = observer.connection.execute(
        f"INSERT INTO region_tick.creator ({columns}) VALUES ({places}) RETURNING id".encode(), row
    ).fetchone()
    assert added is not None
    return int(added[0])


def jobs(observer: Observer) -> list[dict[str, Any]]:
    with observer.connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM region_tick.procrastinate_jobs ORDER BY id").fetchall()


def run(ticks: Ticks, observer: Observer, tick_at: datetime = TICK_AT, database: str | None = None) -> dict[str, int]:
    """Run a tick to its success; return its counts as job_run has them."""
    pod = variables(database or ticks.database, tick_at=tick_at, HANDLER="enqueue")
    ticks.processes.append(Process(ticks.folder, pod, "-m", "region_tick"))
    assert ticks.processes[-1].exit_code() == ExitCode.FINAL, ticks.processes[-1].lines
    counts = observer.connection.execute("SELECT counts FROM region_tick.job_run WHERE tick_at = %s", (tick_at,))
    (row,) = counts.fetchall()
    return dict(row[0])


def test_the_statement_is_one_of_the_migrated_database(connection: psycopg.Connection) -> None:
    numbers: dict[str, str] = {}
    text = re.sub(r"%\((\w+)\)s", lambda match: numbers.setdefault(match[1], f"${len(numbers) + 1}"), ENQUEUE)
    connection.execute(f"PREPARE checked AS {text}".encode())


def test_a_task_for_each_creator_that_is_due(ticks: Ticks, observer: Observer) -> None:
    well, failing = add(observer, 1), add(observer, 2, failures=3)
    add(observer, 3, not_before="infinity")
    add(observer, 4, region_id="43")
    assert run(ticks, observer) == {"enqueued": 2, "already_queued": 0, "left": 0, "waiting": 1}
    assert [(job["queue_name"], job["task_name"], job["status"], job["queueing_lock"]) for job in jobs(observer)] == [
        (QUEUE, FETCH, "todo", f"creator {well}"),
        (QUEUE, FETCH, "todo", f"creator {failing}"),
    ]
    arguments = jobs(observer)[0]["args"]
    assert datetime.fromisoformat(arguments.pop("tick_at")) == TICK_AT
    assert json.loads(arguments.pop("region")) == {
        "source": SOURCE,
        "id": "42",
        "name": "Zürich",
        "bbox": ["8.440000", "47.320000", "8.630000", "47.440000"],
        "cron": "*/5 * * * *",
        "params": {},
    }
    assert arguments == {"creator_id": well, "region_code": "ch-zrh", "host": "upstream.test"}


def test_who_was_refused_has_its_turn_in_a_queue_that_is_never_empty(ticks: Ticks, observer: Observer) -> None:
    """First come, first served: a lower priority would never be fetched while others come after it."""
    refused = add(observer, 1, failures=3, last_error="404")
    run(ticks, observer)
    for number in range(2, 4):
        add(observer, number)
    run(ticks, observer, TICK_AT + timedelta(minutes=1))
    statement = "SELECT args FROM region_tick.procrastinate_fetch_job_v2(%s::varchar[], %s)"
    with observer.connection.transaction():
        observer.connection.execute("SET LOCAL search_path = region_tick")
        fetched = observer.connection.execute(statement, ([QUEUE], None)).fetchall()
    assert [args["creator_id"] for (args,) in fetched] == [refused]


def test_a_queue_that_is_slower_than_the_schedule_does_not_grow(ticks: Ticks, observer: Observer) -> None:
    for number in range(3):
        add(observer, number)
    assert run(ticks, observer)["enqueued"] == 3
    observer.connection.execute("UPDATE region_tick.procrastinate_jobs SET status = 'doing' WHERE id = 1")
    later = run(ticks, observer, TICK_AT + timedelta(hours=1))
    assert later == {"enqueued": 1, "already_queued": 2, "left": 0, "waiting": 0}
    assert len(jobs(observer)) == 4


def test_a_tick_that_is_done_enqueues_nothing_when_it_runs_again(ticks: Ticks, observer: Observer) -> None:
    add(observer, 1)
    run(ticks, observer)
    observer.connection.execute("DELETE FROM region_tick.procrastinate_jobs")  # done in no time
    assert run(ticks, observer)["enqueued"] == 1
    assert jobs(observer) == []


@pytest.fixture
def effects(database: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Effects:
    monkeypatch.setenv(Variable.SOURCE, SOURCE)
    return Effects(connection, first(database, connection))


def test_tasks_of_an_attempt_that_lost_its_lease_are_rolled_back(
    database: str, connection: psycopg.Connection, effects: Effects, observer: Observer
) -> None:
    add(observer, 1)
    observer.expire()
    with pytest.raises(LeaseLostError):
        enqueue(handed(database, connection, effects))
    assert jobs(observer) == []
    assert observer.row()["state"] == "running"


def test_tasks_and_the_ticks_end_are_committed_together(
    database: str, connection: psycopg.Connection, effects: Effects, observer: Observer
) -> None:
    add(observer, 1)
    enqueue(handed(database, connection, effects))
    assert len(jobs(observer)) == 1
    assert observer.row()["state"] == "succeeded"
    xmins = observer.connection.execute(
        "SELECT (SELECT xmin FROM region_tick.procrastinate_jobs)::text, (SELECT xmin FROM region_tick.job_run)::text"
    ).fetchone()
    assert xmins is not None
    assert xmins[0] == xmins[1]


def handed(database: str, connection: psycopg.Connection, effects: Effects) -> Tick:
    return Tick(
        region=environment(database).region,
        cron="*/5 * * * *",
        tick_at=TICK_AT,
        window=Window(start=None, end=TICK_AT),
        attempt=1,
        deadline=time.monotonic() + 60,
        stopping=Event(),
        connection=connection,
        transaction=effects.transaction,
        finish=effects.finish,
        log=logging.getLogger(),
    )


def test_behind_a_pgbouncer_in_transaction_mode(ticks: Ticks, observer: Observer, database: str) -> None:
    """Bare names in the queue's functions and triggers are found without a search_path."""
    add(observer, 1)
    with PgBouncer.before(database) as pooler:
        assert run(ticks, observer, database=pooler.url)["enqueued"] == 1
    events = observer.connection.execute("SELECT type::text FROM region_tick.procrastinate_events").fetchall()
    assert events == [("deferred",)]


def add_many(observer: Observer, count: int) -> None:
    observer.connection.execute(
        "INSERT INTO region_tick.creator (source, region_id, platform, url)"
        " SELECT %s, '42', 'http', 'https://upstream.test/' || n FROM generate_series(1, %s) AS n",
        (SOURCE, count),
    )


def polled(observer: Observer, ids: set[int], **columns: datetime) -> None:
    """Give creators upstreams with these values; a `last_polled_at` is that of the creators too."""
    assignments = ", ".join(f"{column} = %({column})s" for column in columns)
    for statement in (MAKE_UPSTREAMS, ATTACH):
        observer.connection.execute(statement, {"ids": list(ids)})
    observer.connection.execute(
        f"UPDATE region_tick.upstream SET {assignments}"
        " WHERE id IN (SELECT upstream_id FROM region_tick.creator WHERE id = ANY(%(ids)s))".encode(),
        columns | {"ids": list(ids)},
    )
    observer.connection.execute(
        "UPDATE region_tick.creator SET last_polled_at = upstream.last_polled_at"
        " FROM region_tick.upstream WHERE upstream.id = upstream_id"
    )


def enqueued(observer: Observer) -> set[int]:
    return {int(job["args"]["creator_id"]) for job in jobs(observer)}


def test_of_too_many_for_one_tick_the_rest_is_the_next_ones(ticks: Ticks, observer: Observer) -> None:
    """Also where the queue is empty again by then."""
    add_many(observer, LIMIT + 10)
    assert run(ticks, observer) == {"enqueued": LIMIT, "already_queued": 0, "left": 10, "waiting": 0}
    first_ones = enqueued(observer)
    later = run(ticks, observer, TICK_AT + timedelta(minutes=1))
    assert later == {"enqueued": 10, "already_queued": LIMIT, "left": 0, "waiting": 0}
    observer.connection.execute("DELETE FROM region_tick.procrastinate_jobs")
    polled(observer, first_ones, last_polled_at=TICK_AT)
    run(ticks, observer, TICK_AT + timedelta(minutes=2))
    assert len(enqueued(observer) - first_ones) == 10


@pytest.mark.parametrize("column", ["last_polled_at", "not_before"])
def test_who_was_asked_longest_ago_comes_first(
    database: str, connection: psycopg.Connection, effects: Effects, observer: Observer, column: str, monkeypatch: Any
) -> None:
    """Answered or not: `not_before` says until when one was left alone who did not answer."""
    monkeypatch.setattr("region_tick.handlers.enqueue.LIMIT", 2)
    recently, longest, never = (add(observer, number) for number in range(3))
    polled(observer, {recently}, **{column: TICK_AT - timedelta(hours=1)})
    polled(observer, {longest}, **{column: TICK_AT - timedelta(hours=2)})
    enqueue(handed(database, connection, effects))
    assert enqueued(observer) == {longest, never}


URLS = (
    "https://Upstream.test/feed",
    "https://upstream.test:443/feed?of=http://other.test/",
    "http://upstream.test:80",
    "http://upstream.test./feed#top",
    "http://upstream.test:8080/",
    "https://[2001:db8::1]:8443/feed",
)


def test_a_task_names_its_host_as_the_adapters_do(
    database: str, connection: psycopg.Connection, effects: Effects, observer: Observer
) -> None:
    for url in URLS:
        add(observer, 0, url=url)
    add(observer, 0, url="https://user:secret@upstream.test/")
    enqueue(handed(database, connection, effects))
    hosts = [job["args"]["host"] for job in jobs(observer)]
    assert hosts == [*map(host_of, URLS), "upstream.test"]
