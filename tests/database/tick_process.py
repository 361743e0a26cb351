"""Ticks as processes on a real Postgres, with handlers that do what tests need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from devcluster import another_time
from region_tick import __main__
from tests.harness.ticks import variables

HANDLERS = '''
import atexit, ctypes, os, psycopg, select, signal, sys, time
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

def transacts(tick):
    """Make an effect when released, whatever became of the tick meanwhile."""
    print("working", flush=True)
    while not Path("released").exists():
        time.sleep(0.02)
    with tick.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (%s)", (tick.attempt,))

def finishes(tick):
    """Make an effect together with the end of the tick, and fail afterwards."""
    with tick.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (%s)", (tick.attempt,))
        tick.finish(Outcome({"made": 1}))
    raise ValueError("too late to matter")

def finishes_and_dies(tick):
    with tick.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (%s)", (tick.attempt,))
        tick.finish(Outcome())
    os._exit(137)

def finishes_and_lingers(tick):
    with tick.transaction():
        tick.finish(Outcome())
    print("finished", flush=True)
    while not Path("released").exists():
        tick.check()
        tick.stopping.wait(0.02)

def freezes(tick):
    """Freeze in mid-transaction, at the first attempt."""
    with tick.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (42)")
        if tick.attempt == 1:
            signal.raise_signal(signal.SIGSTOP)  # to this very thread: kill() may stop another one first
        tick.finish(Outcome({"made": 1}))

def dawdles(tick):
    """Do nothing in a transaction until the server has something to say about it."""
    with tick.transaction() as connection:
        select.select([connection.fileno()], [], [])

def leaves_a_thread(tick):
    """Leave a thread behind for which an orderly exit would wait, and something that it would do."""
    atexit.register(print, "orderly")
    ThreadPoolExecutor(1).submit(time.sleep, 600)

def talks(tick):
    """Say its URL in every way, and fail at the first attempt."""
    url = os.environ["DATABASE_URL"]
    print("printed", url, flush=True)
    tick.log.info("asked", extra={"url": url})
    if tick.attempt == 1:
        raise ValueError(f"cannot read {url}")

def broken(tick):
    raise ValueError("try again")

def permanent(tick):
    raise PermanentError("cannot be done")

def wrong(tick):
    return "done"

async def later(tick):
    import asyncio
    await asyncio.sleep(0.01)
    tick.log.info("params", extra={"name": "n", "level": "l", "key": tick.key, "source": tick.source} | tick.params)
    return Outcome({"ok": True}, fetched_until=tick.window.end)

def too_far(tick):
    return Outcome(fetched_until=tick.window.end.replace(year=2100))

def commits(tick):
    with tick.transaction() as connection:
        connection.execute("INSERT INTO effect VALUES (%s)", (tick.attempt,))
        connection.execute("COMMIT")

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
from region_tick import run, supervise
from region_tick.environment import Environment
knobs = dict(word.split("=") for word in sys.argv[1:])
supervise.PATIENCE_SECONDS = float(knobs.pop("patience", supervise.PATIENCE_SECONDS))
supervise.FAILSAFE_SECONDS = float(knobs.pop("failsafe", supervise.FAILSAFE_SECONDS))
run.ANSWER_SECONDS = float(knobs.pop("answer", run.ANSWER_SECONDS))
sys.exit(run.run(Environment.read(os.environ), **{name: float(value) for name, value in knobs.items()}))
"""
SHORT_LEASE = ("lease_seconds=4", "renewal_seconds=0.2")


class Process:
    """A tick that runs in `folder`."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        path = os.pathsep.join((str(folder), str(Path(__main__.__file__).parents[1])))
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={"PATH": os.defpath, "PYTHONPATH": path, **environment, **another_time.passed_on()},
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
