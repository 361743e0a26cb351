"""Runs the operator as a process, as a user runs the operator outside a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from types import TracebackType

CHECKOUT = Path(__file__).parents[2]


class OperatorProcess:
    """A running `region-operator run`. As a context manager, it kills the process at the end."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "region_operator", "run"],
                env=os.environ | {"HEALTH_PORT": "0"} | environment,
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait(10)

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
        self._process.send_signal(number)

    def stop(self) -> int:
        """End the operator by SIGTERM, as a kubelet does. Return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds: float = 30) -> int:
        """Wait at most `seconds` for the operator's end: by default as long as a kubelet does. Return the exit code."""
        return self._process.wait(seconds)

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
        return self._process.poll() is None

    @property
    def pid(self) -> int:
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
