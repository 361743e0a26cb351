"""Ends the process: by force if a stop hangs, or at once if all work is done.

asyncio and kopf act on SIGTERM in the event loop (kopf's `ultimate_exiting_timeout` too), so they do nothing if the
event loop hangs. A Python signal handler runs in the main thread, even if the event loop is busy. The handler here
starts a countdown that needs neither the event loop nor the interpreter: the thread of faulthandler prints the stack of
every thread and ends the process. One case is left to the kubelet's SIGKILL: a main thread that is stuck in C code.

A process that has finished its work ends at once: nothing that is left is worth a wait or an error.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

Ts = TypeVarTuple("Ts")

EXIT_LIMIT_SECONDS = 25.0
"""Less than the pod's terminationGracePeriodSeconds (30): a SIGKILL after 30 seconds would print no stacks."""


def exit_now() -> NoReturn:
    """End the process at once, with exit code 0.

    An orderly end takes too long. If no DNS server answers, asyncio waits without a limit for the threads that look up
    names. asyncio also logs a traceback for each open watch of kopf. The interpreter then cleans up memory for seconds.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(os.EX_OK)


class ShutdownLoop(asyncio.SelectorEventLoop):
    """An event loop in which the first handled signal starts the countdown, no matter who handles the signal."""

    _counting = False

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call `callback` in the loop as usual: the wakeup fd tells the loop about the signal, not Python's handler."""
        super().add_signal_handler(sig, callback, *args)
        signal.signal(sig, self._count_down)  # replaces a handler of asyncio that does nothing

    def _count_down(self, _number: int, _frame: FrameType | None) -> None:
        if not self._counting:
            self._counting = True
            faulthandler.dump_traceback_later(EXIT_LIMIT_SECONDS, exit=True)
