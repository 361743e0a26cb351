"""Runs the operator as a process, as a user runs the operator outside a cluster.

The process comes from a server that has imported the operator already. The imports are most of a start's processor
time, and hundreds of tests start an operator.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from region_operator import commands
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from types import TracebackType

CHECKOUT = Path(__file__).parents[2]


_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["region_operator.commands"])
_ONE_AT_A_TIME = Lock()
"""Two threads that ask at once would both read how a process ended; a start asks about every process before."""


class OperatorProcess:
    """A running `region-operator run`. As a context manager, it kills the process at the end."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        log.touch()
        everything = os.environ | {"HEALTH_PORT": "0"} | environment
        self._process = _FORKSERVER.Process(target=_run_operator, args=(log, dict(everything)), daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.signal(signal.SIGKILL)
        self.wait(60)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The complete lines of the operator's log so far."""
        return [json.loads(line) for line in self._written if line.startswith("{")]

    @property
    def strays(self) -> list[str]:
        """The complete lines of the operator's output that are not log lines."""
        return [line for line in self._written if not line.startswith("{")]

    @property
    def _written(self) -> list[str]:
        return self._log.read_text().split("\n")[:-1]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        return [line for line in self.lines if line["event"] == event]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.running:
            with suppress(ProcessLookupError):  # it ended between the two
                os.kill(self.pid, number)

    def stop(self) -> int:
        """End the operator by SIGTERM, as a kubelet does. Return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = 30) -> int:
        """Wait at most `seconds` for the operator's end: by default as long as a kubelet does. Return the exit code."""
        eventually(lambda: not self.running, what="the operator ends", seconds=seconds)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def get(self, path: str) -> tuple[int, str]:
        """Ask the operator's health server. Return the HTTP status and the body."""
        started = eventually(lambda: self.logged("starting"), what="the operator says its health port")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{started[0]['health_port']}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric's value, or 0 if the metric has no value yet."""
        wanted = name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else "")
        for line in self.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            if sample == wanted:
                return float(value)
        return 0.0

    @property
    def running(self) -> bool:
        with _ONE_AT_A_TIME:
            return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def memory(self) -> int:
        """The operator's memory (resident set), in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    @property
    def reconciles(self) -> float:
        """The number of reconciles that succeeded."""
        return self.metric("region_operator_reconciles_total", reason="Succeeded")


def _run_operator(log: Path, environment: dict[str, str]) -> None:
    """Become the operator: with its environment, and with its output in `log`."""
    output = os.open(log, os.O_WRONLY | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(CHECKOUT)
    commands.main(["run"])
