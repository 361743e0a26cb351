"""The processes of one cluster: each with a log file, none outliving the supervisor.

Believes that a supervisor may die at any moment: `setpriv --pdeathsig KILL` makes the kernel end every child with it.
Which process is started when, and what its end means, is left to the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Processes:
    """By name; a name is free again when its process has been stopped."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str, command: Sequence[str]) -> int:
        """Starts the command, appending its output to `<name>.log`; returns its pid."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "--", *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, which knows the order
            )
        self._running[name] = process
        return process.pid

    async def stop(self, name: str, *, seconds: float = 10.0) -> None:
        """Asks the process to end, and kills it where it has not after `seconds`; harmless for one not running."""
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
        """Ends the process without a warning, as a machine that is lost does; harmless for one not running."""
        process = self._running.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def first_end(self) -> str:
        """Waits until a process that was not stopped ends; says which, with what code and what its log ends with."""
        while True:
            for name, process in self._running.items():
                if process.returncode is not None:
                    return f"{name} ended with code {process.returncode}, after it said:\n{self._last_lines(name)}"
            await asyncio.sleep(0.2)

    def _last_lines(self, name: str) -> str:
        return "\n".join((self._logs / f"{name}.log").read_text(errors="replace").splitlines()[-8:])
