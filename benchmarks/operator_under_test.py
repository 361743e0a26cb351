"""The operator as a benchmark's subject: its process, its CPU time, its memory, its log, and the turns of its loop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from array import array
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

LIMIT_SECONDS = 300


class Operator:
    """A running operator. As a context manager, the operator is told to stop at the end."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._log, self._turns = folder / "operator.log", folder / "turns"
        self._turns.unlink(missing_ok=True)
        self._events: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._unread = ""
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.turning"],
                env=os.environ | {"HEALTH_PORT": "0", "TURNS_FILE": str(self._turns)} | environment,
                stdout=log,
                stderr=log,
            )
        self._reading = self._log.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._reading.close()

    @property
    def cpu_seconds(self) -> float:
        """The CPU seconds of all threads so far."""
        return cpu_seconds(self._process.pid)

    @property
    def peak_megabytes(self) -> float:
        """The most memory that the process ever had."""
        return peak_megabytes(self._process.pid)

    def turns(self) -> list[float]:
        """Return the CPU seconds of each turn of the event loop since the last call, ascending."""
        self._turns.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        wait_until(self._turns.exists)
        turns = array("d")
        turns.frombytes(self._turns.read_bytes())
        return sorted(turns)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event. Each line is read once, so that who waits takes the operator no CPU."""
        for line in self._reading:
            self._unread += line
            if line.endswith("\n"):
                if self._unread.startswith("{"):
                    found = json.loads(self._unread)
                    self._events[found["event"]].append(found)
                self._unread = ""
        return self._events[event]


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process' threads so far (proc(5), schedstat)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def peak_megabytes(pid: int) -> float:
    """Return the most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def wait_until(check: Any, *, seconds: float = LIMIT_SECONDS) -> float:
    """Call `check` every 10 ms until the result is true. Return the seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not check():
        if time.monotonic() > began + seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.01)
    return time.monotonic() - began
