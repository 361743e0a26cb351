"""The tick as a process, when its claim or the write of its end waits for a lock, or for a server that hangs.

In each case the process ends by itself, long before the failsafe would end it (which is exit code 1), and whatever it
could not say, the next attempt finds out.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from devcluster.postgres import Postgres
from region_operator.database.migrate import migrate
from region_tick.contract import ExitCode
from region_tick.database_url import DatabaseUrl
from tests.database.tick_process import Ticks
from tests.harness.frozen import frozen
from tests.harness.ticks import Observer
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = "LOCK TABLE region_tick.job_run IN ACCESS EXCLUSIVE MODE"
ROW = "SELECT FROM region_tick.job_run FOR UPDATE"


@contextmanager
def held(database: str, lock: str) -> Iterator[None]:
    """Hold a lock in a session of somebody else."""
    with psycopg.connect(database) as other:
        other.execute(lock.encode())
        yield


def backend(observer: Observer, which: str) -> int:
    """Return the pid of the server's one process for which a condition on pg_stat_activity comes true."""
    statement = (
        f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({which})"
    )
    [(pid,)] = eventually(lambda: observer.connection.execute(statement.encode()).fetchall(), what=which)
    return int(pid)


def test_a_claim_that_a_lock_holds_up_is_made_when_it_goes(ticks: Ticks, observer: Observer, database: str) -> None:
    """Also when that takes longer than one statement may wait."""
    with held(database, TABLE):
        process = ticks.start()
        process.until("waiting")
    assert process.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["attempt"]) == ("succeeded", 1)


def test_a_claim_that_a_lock_holds_up_ends_with_the_own_deadline(
    ticks: Ticks, observer: Observer, database: str
) -> None:
    with held(database, TABLE):
        process = ticks.start(TIMEOUT_SECONDS="1")
        assert process.exit_code() == ExitCode.AGAIN
    assert process.event("not claimed")["reason"] == "timeout"
    assert observer.rows() == []


def test_sigterm_ends_a_tick_whose_claim_a_lock_holds_up(ticks: Ticks, database: str) -> None:
    with held(database, TABLE):
        process = ticks.start()
        process.until("waiting")
        process.popen.terminate()
        assert process.exit_code() == ExitCode.AGAIN
    assert process.event("not claimed")["reason"] == "terminated"


def test_a_claim_that_gets_no_answer_is_made_on_another_connection(
    ticks: Ticks, observer: Observer, database: str
) -> None:
    with held(database, TABLE):
        process = ticks.start("answer=1")
        with frozen(backend(observer, "wait_event_type = 'Lock'")):
            process.until("database away")
    assert process.exit_code() == ExitCode.FINAL
    assert process.event("database away")["error"] == "no answer within 1 s: the server hangs, or is out of reach"
    assert (observer.row()["state"], observer.row()["attempt"]) == ("succeeded", 1)


def test_sigterm_ends_a_tick_whose_claim_gets_no_answer(ticks: Ticks, observer: Observer, database: str) -> None:
    with held(database, TABLE):
        process = ticks.start("answer=1")
        with frozen(backend(observer, "wait_event_type = 'Lock'")):
            process.popen.terminate()
            assert process.exit_code() == ExitCode.AGAIN
    assert process.event("not claimed")["reason"] == "terminated"
    assert ticks.start().exit_code() == ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


def test_an_end_that_gets_no_answer_is_written_on_a_fresh_connection(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start("answer=4", handler="until_released")
    process.until("working")
    with frozen(backend(observer, "state = 'idle'")):
        ticks.release()
        assert process.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"]) == ("succeeded", "released", 1)


def test_an_end_that_a_lock_holds_up_for_too_long_is_the_next_attempts_to_write(
    ticks: Ticks, observer: Observer, database: str
) -> None:
    process = ticks.start("answer=4", "lease_seconds=10", handler="until_released")
    process.until("working")
    with held(database, ROW):
        ticks.release()
        assert process.exit_code() == ExitCode.AGAIN
    assert process.event("not recorded")["database"].startswith("no answer within ")
    assert observer.row()["state"] == "running"
    assert ticks.start(handler="until_released").exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["attempt"]) == ("succeeded", 2)


def test_an_end_that_a_lock_holds_up_for_a_while_is_written(ticks: Ticks, observer: Observer, database: str) -> None:
    process = ticks.start(handler="until_released")
    process.until("working")
    with held(database, ROW):
        ticks.release()
        backend(observer, "wait_event_type = 'Lock'")
    assert process.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["attempt"]) == ("succeeded", 1)


@pytest.mark.parametrize("handler", ["until_released", "deaf"])
def test_a_server_that_hangs_holds_up_no_tick_that_is_told_to_end(handler: str, tmp_path: Path) -> None:
    """Whether its handler hears or not; and when the server answers again, the next attempt does it."""
    with Postgres.temporary() as server:
        server.start()
        asyncio.run(migrate(DatabaseUrl.parse(server.url())))
        ticks = Ticks(tmp_path, server.url())
        process = ticks.start("patience=0.2", "lease_seconds=4", handler=handler)
        process.until("working")
        with server.frozen():
            process.popen.terminate()
            assert process.exit_code() == ExitCode.AGAIN
        assert process.event("not recorded")["state"] == "interrupted"
        observer = Observer(server.url())
        assert observer.row()["state"] == "running"
        assert ticks.start().exit_code() == ExitCode.FINAL
        row = observer.row()
        assert (row["state"], row["attempt"]) == ("succeeded", 2)
        observer.connection.close()
