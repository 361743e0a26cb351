"""Runs the processes of one cluster, each with a log file. No process outlives the supervisor.

A supervisor may die at any moment: `setpriv --pdeathsig KILL` makes the kernel kill every child at the supervisor's
death. The supervisor module decides which process starts when, and what the end of a process means.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Processes:
    """The running processes by name. A stopped process frees its name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, command: Sequence[str]) -> int:
        """Start a command, append its output to `<name>.log`, and return its pid."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "--", *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C must reach the supervisor only, which stops processes in order
            )
        self._running[name] = process
        return process.pid

    async def stop(self, name: str, *, seconds: float = 10.0) -> None:
        """Terminate the process, and kill the process after `seconds`. If no such process runs, do nothing."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def kill(self, name: str) -> None:
        """Kill the process without a warning, like the loss of a machine. If no such process runs, do nothing."""
        process = self._running.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def first_end(self) -> str:
        """Wait until a process ends by itself. Return its name, its exit code and the end of its log as a message."""
        while True:
            for name, process in self._running.items():
                if process.returncode is not None:
                    return f"{name} ended with code {process.returncode}, after it said:\n{self._last_lines(name)}"
            await asyncio.sleep(0.2)

    def _last_lines(self, name: str) -> str:
        return "\n".join((self._logs / f"{name}.log").read_text(errors="replace").splitlines()[-8:])
