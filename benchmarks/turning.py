"""Runs the operator, and measures how long each turn of its main event loop takes the CPU.

The wall time of a turn depends on who else wants the CPU; the CPU time does not. At SIGUSR1 the process writes the CPU
seconds of all turns so far to the file that TURNS_FILE names, and begins anew.
"""

from __future__ import annotations

import os
import signal
import time
from array import array
from pathlib import Path

from region_operator.commands import main
from region_operator.runtime import shutdown

TURNS = array("d")


class MeasuredLoop(shutdown.ShutdownLoop):
    """An event loop that appends the CPU seconds of each turn to TURNS."""

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # asyncio's own, which no stub names
        TURNS.append(time.thread_time() - began)


def write_turns(_number: int, _frame: object) -> None:
    """Write the turns so far, and begin anew."""
    path = Path(os.environ["TURNS_FILE"])
    path.with_suffix(".new").write_bytes(TURNS.tobytes())
    path.with_suffix(".new").replace(path)
    del TURNS[:]


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write_turns)
    shutdown.ShutdownLoop = MeasuredLoop  # type: ignore[misc]
    main(["run"])
