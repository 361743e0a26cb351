"""Ticks as processes that share one row: one works, the others wait, and what dies is taken over."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from region_tick.contract import ExitCode
from tests.database.tick_process import SHORT_LEASE
from tests.harness.pgbouncer import PgBouncer
from tests.harness.ticks import Observer
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.database.tick_process import Ticks


@contextmanager
def renewals_frozen(observer: Observer) -> Iterator[None]:
    """Stop the server's process that renews the only tick's lease, and none of its locks with it."""

    def frozen() -> int | None:
        found = observer.connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s AND state = 'idle'"
            " AND pid <> pg_backend_pid() AND backend_start > (SELECT max(started_at) FROM region_tick.job_run)",
            ("COMMIT%",),
        ).fetchone()
        if found is None:
            return None
        (pid,) = found
        os.kill(pid, signal.SIGSTOP)
        if observer.connection.execute("SELECT FROM pg_locks WHERE pid = %s", (pid,)).fetchone():
            os.kill(pid, signal.SIGCONT)
            return None
        return int(pid)

    pid = eventually(frozen, what="a renewal to freeze")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_of_two_at_once_one_works_and_the_other_waits_for_its_end(ticks: Ticks, observer: Observer) -> None:
    one = ticks.start(handler="until_released")
    one.until("working")
    other = ticks.start(handler="until_released")
    other.until("waiting")
    ticks.release()
    assert one.exit_code() == ExitCode.FINAL
    assert other.exit_code() == ExitCode.FINAL
    assert "working\n" not in other.lines
    row = observer.row()
    assert (row["attempt"], row["reason"], row["counts"]) == (1, "released", {"waited": 1})


def test_a_killed_one_is_taken_over_when_its_lease_runs_out(ticks: Ticks, observer: Observer) -> None:
    one = ticks.start(*SHORT_LEASE, handler="until_released")
    one.until("working")
    other = ticks.start(*SHORT_LEASE, handler="until_released")
    other.until("waiting")
    one.popen.kill()
    assert one.exit_code() == -signal.SIGKILL
    other.until("working")
    ticks.release()
    assert other.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["attempt"]) == ("succeeded", 2)


def test_a_lease_is_renewed_while_the_handler_works(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(*SHORT_LEASE, handler="until_released")
    process.until("working")
    ends = observer.row()["lease_until"]
    eventually(lambda: observer.row()["now"] > ends, what="the first lease is over")
    row = observer.row()
    assert row["lease_until"] > row["now"]
    ticks.release()
    assert process.exit_code() == ExitCode.FINAL
    assert observer.row()["attempt"] == 1


def test_renewing_survives_a_cut_connection(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(*SHORT_LEASE, handler="until_released")
    process.until("working")
    observer.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ends = observer.row()["lease_until"]
    eventually(lambda: observer.row()["lease_until"] > ends, what="the lease is renewed")
    ticks.release()
    assert process.exit_code() == ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


def test_a_lost_lease_stops_the_handler_and_nothing_is_written(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(*SHORT_LEASE, handler="until_released")
    process.until("working")
    observer.change(attempt=2, pod="another")
    assert process.exit_code() == ExitCode.AGAIN
    assert process.event("stopping")["reason"] == "lease lost"
    assert process.event("lease lost")["state"] == "interrupted"
    row = observer.row()
    assert (row["state"], row["attempt"], row["finished_at"], row["error_class"]) == ("running", 2, None, None)


def test_a_server_that_is_gone_in_mid_work_costs_the_attempt_not_the_tick(ticks: Ticks, database: str) -> None:
    """Nobody can connect for longer than the lease: the handler is stopped, and the next attempt does the tick."""
    process = ticks.start(*SHORT_LEASE, handler="until_released")
    process.until("working")
    name = urlsplit(database).path[1:]
    with psycopg.connect(urlsplit(database)._replace(path="/postgres").geturl(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert process.exit_code() == ExitCode.AGAIN
        assert process.event("stopping")["reason"] == "lease lost"
        assert process.event("not recorded")
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    assert ticks.start(*SHORT_LEASE).exit_code() == ExitCode.FINAL
    observer = Observer(database)
    assert (observer.row()["state"], observer.row()["attempt"]) == ("succeeded", 2)
    observer.connection.close()


def test_an_effect_of_an_attempt_that_was_taken_over_is_not_committed(ticks: Ticks, observer: Observer) -> None:
    observer.connection.execute("CREATE TABLE effect (attempt integer)")
    process = ticks.start(handler="transacts")
    process.until("working")
    observer.change(attempt=2, pod="another")
    ticks.release()
    assert process.exit_code() == ExitCode.AGAIN
    lost = process.event("lease lost")
    assert (lost["state"], lost["reason"]) == ("interrupted", "lease lost")
    assert "LeaseLostError: attempt 1 does not hold the tick any more" in lost["error"]
    assert observer.connection.execute("SELECT FROM effect").fetchall() == []
    assert (observer.row()["attempt"], observer.row()["error_class"]) == (2, None)


def test_a_renewal_that_hangs_keeps_no_tick_from_hearing_that_it_shall_stop(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start("lease_seconds=30", "renewal_seconds=0.2", handler="until_released")
    process.until("working")
    overdue = "SELECT clock_timestamp() > lease_until - interval '29 seconds' FROM region_tick.job_run"
    with renewals_frozen(observer):
        eventually(lambda: observer.connection.execute(overdue).fetchone() == (True,), what="a renewal hangs")
        process.popen.terminate()
        assert process.exit_code() == ExitCode.AGAIN
    assert process.event("stopping")["reason"] == "terminated"
    row = observer.row()
    assert (row["state"], row["reason"]) == ("interrupted", "terminated")
    assert row["lease_until"] <= row["now"]


def test_a_renewal_that_hangs_keeps_no_tick_from_its_deadline(ticks: Ticks, observer: Observer) -> None:
    knobs = ("lease_seconds=60", "renewal_seconds=0.2")
    process = ticks.start(*knobs, handler="until_released", TIMEOUT_SECONDS="12")
    process.until("working")
    with renewals_frozen(observer):
        assert process.exit_code() == ExitCode.AGAIN
    assert process.event("stopping")["reason"] == "timeout"
    assert (observer.row()["state"], observer.row()["reason"]) == ("interrupted", "timeout")


def test_a_lease_that_is_over_while_its_renewal_hangs_is_lost(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(*SHORT_LEASE, handler="until_released")
    process.until("working")
    with renewals_frozen(observer):
        assert process.exit_code() == ExitCode.AGAIN
    assert process.event("stopping")["reason"] == "lease lost"
    row = observer.row()
    assert (row["state"], row["reason"]) in {("running", None), ("interrupted", "lease lost")}, "by the own clock first"


def test_a_tick_whose_end_is_committed_has_no_lease_to_lose(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(*SHORT_LEASE, handler="finishes_and_lingers")
    process.until("finished")
    lapsed = "SELECT clock_timestamp() > started_at + interval '4.5 seconds' FROM region_tick.job_run"
    eventually(lambda: observer.connection.execute(lapsed).fetchone() == (True,), what="a lease would be over")
    ticks.release()
    assert process.exit_code() == ExitCode.FINAL
    assert [event["event"] for event in process.events()] == ["claimed", "finished"]
    assert process.event("finished")["level"] == "info"


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_one_frozen_in_mid_transaction_keeps_no_row_from_the_attempt_after_it(
    pooled: bool, ticks: Ticks, observer: Observer
) -> None:
    observer.connection.execute("CREATE TABLE effect (id integer UNIQUE)")
    with PgBouncer.before(ticks.database) if pooled else nullcontext() as bouncer:
        pod = {"DATABASE_URL": bouncer.url} if bouncer else {}
        frozen = ticks.start(*SHORT_LEASE, "idle_seconds=1", handler="freezes", **pod)
        eventually(lambda: os.waitpid(frozen.popen.pid, os.WUNTRACED | os.WNOHANG) != (0, 0), what="it is frozen")
        other = ticks.start(*SHORT_LEASE, handler="freezes", **pod)
        assert other.exit_code() == ExitCode.FINAL, other.lines
        row = observer.row()
        assert (row["state"], row["attempt"], row["counts"]) == ("succeeded", 2, {"made": 1})
        assert observer.connection.execute("SELECT id FROM effect").fetchall() == [(42,)]
        frozen.popen.send_signal(signal.SIGCONT)
        assert frozen.exit_code() == ExitCode.AGAIN
        assert frozen.event("lease lost")
    assert observer.row() | {"now": None} == row | {"now": None}


def test_a_handler_that_does_nothing_in_a_transaction_for_too_long_is_tried_again(
    ticks: Ticks, observer: Observer
) -> None:
    assert ticks.start("idle_seconds=0.2", handler="dawdles").exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert (row["state"], row["reason"]) == ("interrupted", "error")
    assert row["error_class"] == "psycopg.errors.IdleInTransactionSessionTimeout"
