"""Runs the console as a process, with the rights of its ServiceAccount and the database role of a console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import urllib3

from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

TIMEOUT_SECONDS = 30


class ConsoleProcess:
    """A running `region-operator console`. As a context manager, it is ended by SIGTERM, and must end well.

    `run_by` is a program that becomes the console, such as nice.
    """

    def __init__(self, log: Path, environment: dict[str, str], *, run_by: Sequence[str] = ()) -> None:
        self._log = log
        self._pool = urllib3.PoolManager(retries=False)
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [*run_by, sys.executable, "-m", "region_operator", "console"],
                env=os.environ | {"CONSOLE_PORT": "0"} | environment,
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        started = eventually(lambda: self._logged("console"), what="the console says its port", seconds=60)
        self.port: int = started[0]["port"]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        try:
            assert self._process.wait(TIMEOUT_SECONDS) == 0, self._log.read_text()
        finally:
            self._process.kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The complete lines of the console's log so far."""
        return [json.loads(line) for line in self._log.read_text().split("\n")[:-1] if line.startswith("{")]

    def json(self, path: str = "", *, status: int = 200) -> Any:
        """Return a page as JSON. Raises AssertionError for another status."""
        answer = self._pool.request(
            "GET",
            f"http://127.0.0.1:{self.port}/{path}",
            headers={"Accept": "application/json"},
            timeout=TIMEOUT_SECONDS,
        )
        assert answer.status == status, f"{path}: {answer.status} {answer.data.decode()}"
        return json.loads(answer.data)

    def _logged(self, event: str) -> list[dict[str, Any]]:
        assert self._process.poll() is None, self._log.read_text()
        return [line for line in self.lines if line["event"] == event]
