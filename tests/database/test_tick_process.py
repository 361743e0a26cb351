"""The tick as a process, on a real Postgres: what it does, what its row says, how it exits, and what it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from region_tick import __main__
from region_tick.contract import ExitCode, State
from tests.database.ticks import CRONJOB, Observer, ago, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

HANDLERS = '''
import ctypes, os, psycopg, sys, time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from region_tick.handlers import Outcome, PermanentError

def until_released(tick):
    """Work until a file appears, or stop when told."""
    print("working", flush=True)
    while not Path("released").exists():
        tick.check()
        tick.stopping.wait(0.02)
    return Outcome({"waited": 1}, reason="released")

def deaf(tick):
    """Never hear that it shall stop, and have a thread for which an orderly exit would wait."""
    print("working", flush=True)
    ThreadPoolExecutor(1).submit(time.sleep, 600).result()

def holds_the_interpreter(tick):
    """Keep every other thread of Python from running."""
    print("working", flush=True)
    ctypes.PyDLL(None).sleep(600)

def seen(tick):
    tick.log.info("seen", extra={"tick": repr(tick), "utc": tick.tick_at.tzinfo is UTC, "remaining": tick.remaining()})

def broken(tick):
    raise ValueError("try again")

def permanent(tick):
    raise PermanentError("cannot be done")

def wrong(tick):
    return "done"

def exits(tick):
    sys.exit(0)

def leaves_a_transaction(tick):
    tick.connection.execute("BEGIN")
    tick.connection.execute("SELECT 1")

def changes_its_settings(tick):
    tick.connection.row_factory = psycopg.rows.dict_row
    tick.connection.autocommit = False

def closes(tick):
    tick.connection.close()

def cut_off(tick):
    pid = tick.connection.info.backend_pid
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
'''
DRIVER = """
import os, sys
from region_tick import run
from region_tick.environment import Environment
knobs = dict(word.split("=") for word in sys.argv[1:])
run.PATIENCE_SECONDS = float(knobs.pop("patience", run.PATIENCE_SECONDS))
run.FAILSAFE_SECONDS = float(knobs.pop("failsafe", run.FAILSAFE_SECONDS))
sys.exit(run.run(Environment.read(os.environ), **{name: float(value) for name, value in knobs.items()}))
"""
SHORT_LEASE = ("lease_seconds=2", "renewal_seconds=0.2")


class Process:
    """A tick that runs in `folder`."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        path = os.pathsep.join((str(folder), str(Path(__main__.__file__).parents[1])))
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={"PATH": os.defpath, "PYTHONPATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []

    def until(self, told: str) -> None:
        """Read on until a line holds `told`."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)
            if told in line:
                return
        raise AssertionError(f"{told!r} never came: {self.lines}")

    def exit_code(self) -> int:
        out, self.errors = self.popen.communicate(timeout=120)
        self.lines += out.splitlines(keepends=True)
        return self.popen.returncode

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any]:
        (event,) = [event for event in self.events() if event["event"] == name]
        return event


class Ticks:
    """Starts ticks of one database."""

    def __init__(self, folder: Path, database: str) -> None:
        (folder / "their_handlers.py").write_text(HANDLERS)
        self.folder, self.database = folder, database
        self.processes: list[Process] = []

    def start(self, *knobs: str, handler: str = "poke", **changes: Any) -> Process:
        """Start one by its command, or with knobs (a word `lease_seconds=2` each) by a call of `run`."""
        name = handler if handler == "poke" else f"their_handlers:{handler}"
        environment = variables(self.database, **{"HANDLER": name} | changes)
        arguments = ("-c", DRIVER, *knobs) if knobs else ("-m", "region_tick")
        self.processes.append(Process(self.folder, environment, *arguments))
        return self.processes[-1]

    def release(self) -> None:
        (self.folder / "released").touch()


@pytest.fixture
def ticks(tmp_path: Path, database: str) -> Iterator[Ticks]:
    ticks = Ticks(tmp_path, database)
    yield ticks
    for process in ticks.processes:
        with process.popen:  # closes its pipes
            process.popen.kill()


@pytest.fixture
def observer(database: str) -> Iterator[Observer]:
    observer = Observer(database)
    yield observer
    observer.connection.close()


def test_poke_is_one_row_and_one_line(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start()
    assert process.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"], row["cron"]) == ("succeeded", "ok", 1, "*/5 * * * *")
    assert [event["event"] for event in process.events()] == ["claimed", "poke", "finished"]
    assert process.errors == ""
    poke = process.event("poke")
    assert (poke["region.code"], poke["cron"], poke["attempt"]) == ("ch-zrh", "*/5 * * * *", 1)
    assert poke["timestamp"].endswith("Z")
    assert poke["tick_at"] == row["tick_at"].strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_a_done_tick_is_not_done_again(ticks: Ticks, observer: Observer) -> None:
    assert ticks.start().exit_code() == ExitCode.FINAL
    before = observer.row()
    again = ticks.start()
    assert again.exit_code() == ExitCode.FINAL
    assert again.event("final")["state"] == "succeeded"
    assert observer.row() | {"now": None} == before | {"now": None}


def test_a_late_tick_is_skipped(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(tick_at=ago(minutes=10), START_DEADLINE_SECONDS="15")
    assert process.exit_code() == ExitCode.FINAL
    assert process.event("final")["reason"] == "late"
    assert observer.row()["state"] == "skipped"


def test_a_handler_sees_its_tick(ticks: Ticks) -> None:
    process = ticks.start(handler="seen")
    assert process.exit_code() == ExitCode.FINAL
    seen = process.event("seen")
    assert "name='Zürich', bbox=BoundingBox(min_lon=Decimal('8.440000')" in seen["tick"]
    assert seen["utc"]
    assert 50 < seen["remaining"] <= 60


@pytest.mark.parametrize("handler", ["leaves_a_transaction", "changes_its_settings", "closes", "cut_off"])
def test_whatever_a_handler_does_to_its_connection_its_row_is_written(
    handler: str, ticks: Ticks, observer: Observer
) -> None:
    assert ticks.start(handler=handler).exit_code() == ExitCode.FINAL
    assert observer.row()["state"] == "succeeded"


@pytest.mark.parametrize(
    ("handler", "code", "state", "error_class", "message"),
    [
        ("broken", ExitCode.AGAIN, State.INTERRUPTED, "builtins.ValueError", "try again"),
        ("exits", ExitCode.AGAIN, State.INTERRUPTED, "builtins.SystemExit", "0"),
        ("permanent", ExitCode.DATA, State.FAILED, "region_tick.handlers.PermanentError", "cannot be done"),
        ("wrong", ExitCode.DATA, State.FAILED, "region_tick.handlers.PermanentError", "returned 'done'"),
        ("absent", ExitCode.CONFIGURATION, State.FAILED, "region_tick.handlers.UnknownHandlerError", "no attribute"),
    ],
)
def test_an_error_is_in_the_row_and_tells_whether_to_try_again(
    handler: str, code: ExitCode, state: State, error_class: str, message: str, ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(handler=handler)
    assert process.exit_code() == code
    row = observer.row()
    assert (row["state"], row["reason"], row["error_class"]) == (state, "error", error_class)
    assert message in row["error_message"]
    assert row["lease_until"] <= row["now"]
    assert message in process.event("finished")["error"]


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
    while observer.row()["now"] < ends:
        pass
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
    while observer.row()["lease_until"] <= ends:
        pass
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


@pytest.mark.parametrize(("handler", "knobs"), [("until_released", ()), ("deaf", ("patience=0.2",))])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_in_mid_work_leaves_a_row_to_retry(
    handler: str, knobs: tuple[str, ...], number: signal.Signals, ticks: Ticks, observer: Observer
) -> None:
    process = ticks.start(*knobs, handler=handler)
    process.until("working")
    process.popen.send_signal(number)
    assert process.exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"]) == ("interrupted", "terminated", 1)
    assert row["lease_until"] <= row["now"]
    retry = ticks.start()
    assert retry.exit_code() == ExitCode.FINAL
    row = observer.row()
    assert (row["state"], row["reason"], row["attempt"]) == ("succeeded", "ok", 2)


def test_sigterm_while_waiting_ends_the_wait(ticks: Ticks, observer: Observer) -> None:
    ticks.start(handler="until_released").until("working")
    other = ticks.start(handler="until_released")
    other.until("waiting")
    other.popen.terminate()
    assert other.exit_code() == ExitCode.AGAIN
    assert other.event("not claimed")["reason"] == "terminated"
    assert observer.row()["attempt"] == 1


def test_waiting_ends_with_the_own_deadline(ticks: Ticks) -> None:
    ticks.start(handler="until_released").until("working")
    other = ticks.start(handler="until_released", TIMEOUT_SECONDS="2")
    assert other.exit_code() == ExitCode.AGAIN
    assert other.event("not claimed")["reason"] == "timeout"


@pytest.mark.parametrize(("handler", "error"), [("until_released", "StoppedError"), ("deaf", "HandlerHungError")])
def test_the_deadline_interrupts_a_handler(handler: str, error: str, ticks: Ticks, observer: Observer) -> None:
    process = ticks.start("patience=0.2", handler=handler, TIMEOUT_SECONDS="1")
    assert process.exit_code() == ExitCode.AGAIN
    row = observer.row()
    assert (row["state"], row["reason"]) == ("interrupted", "timeout")
    assert row["error_class"].endswith(error)
    assert row["lease_until"] <= row["now"]


def test_the_failsafe_ends_a_tick_that_sigterm_does_not(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start("failsafe=1", "patience=60", handler="deaf")
    process.until("working")
    process.popen.terminate()
    assert process.exit_code() == 1
    assert "in deaf" in process.errors
    assert observer.row()["state"] == "running"


def test_the_failsafe_ends_a_tick_in_which_no_thread_can_run(ticks: Ticks) -> None:
    process = ticks.start("failsafe=1", handler="holds_the_interpreter", TIMEOUT_SECONDS="1")
    process.until("working")
    assert process.exit_code() == 1
    assert "in holds_the_interpreter" in process.errors


def test_a_database_that_cannot_be_reached_is_one_line(ticks: Ticks) -> None:
    ticks.database = "postgresql://tick:pa55word@127.0.0.1:1/app"
    process = ticks.start()
    assert process.exit_code() == ExitCode.AGAIN
    (event,) = process.events()
    assert (event["event"], event["level"], event["database"]) == ("database failed", "error", "tick@127.0.0.1:1/app")
    assert "pa55word" not in "".join(process.lines) + process.errors


def test_a_database_without_our_tables_is_tried_again(ticks: Ticks, empty_database: str) -> None:
    ticks.database = empty_database
    process = ticks.start()
    assert process.exit_code() == ExitCode.AGAIN
    assert "job_run" in process.event("database failed")["error"]


def test_a_role_without_rights_is_permanent(ticks: Ticks, observer: Observer) -> None:
    role = f"stranger_{os.getpid()}"
    observer.connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pa55word'".encode())
    try:
        url = urlsplit(ticks.database)
        ticks.database = url._replace(netloc=f"{role}:pa55word@{url.hostname}:{url.port}").geturl()
        process = ticks.start()
        assert process.exit_code() == ExitCode.NOT_PERMITTED
        assert "permission denied" in process.event("database failed")["error"]
    finally:
        observer.connection.execute(f"DROP ROLE {role}".encode())


def test_a_manual_run_is_marked(ticks: Ticks, observer: Observer) -> None:
    process = ticks.start(JOB_NAME="by-hand", JOB_UID="uid-7")
    assert process.exit_code() == ExitCode.FINAL
    assert process.event("claimed")["manual"]
    assert (observer.row()["manual_uid"], observer.row()["job_name"]) == ("uid-7", "by-hand")


def test_a_later_tick_is_another(ticks: Ticks, observer: Observer) -> None:
    assert ticks.start(tick_at=ago(minutes=1)).exit_code() == ExitCode.FINAL
    assert ticks.start().exit_code() == ExitCode.FINAL
    assert [row["state"] for row in observer.rows()] == ["succeeded"] * 2
    assert len({row["job_name"] for row in observer.rows()}) == 2
    assert all(row["job_name"].startswith(CRONJOB) for row in observer.rows())


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
