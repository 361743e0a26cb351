"""The end of a process that was told to stop and hangs.

Whatever asyncio and kopf do on SIGTERM (kopf's `ultimate_exiting_timeout` too) runs in the event loop, so that it does
nothing where the loop hangs. Here a signal handler proper, which Python runs in the main thread whatever that is busy
with, starts a countdown that needs neither the loop nor the interpreter: faulthandler's thread shows where every thread
stands, and ends the process. What it cannot reach, a main thread stuck in C code, is left to the kubelet's SIGKILL.

And the end of one that has done all it had to: nothing that it leaves behind is worth a wait or an error.
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
"""Within the pod's terminationGracePeriodSeconds (30), after which a kill would show nothing."""


def exit_now() -> NoReturn:
    """End with exit code 0, at once.

    An orderly end of asyncio waits without a limit for the threads that look up names, where no DNS server answers, and
    logs a traceback for each watch that kopf was in the midst of; that of the interpreter tidies memory up for seconds.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(os.EX_OK)


class ShutdownLoop(asyncio.SelectorEventLoop):
    """An event loop in which the first signal that is handled at all, by whomever, starts the countdown."""

    _counting = False

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call back in the loop, as ever; the loop hears of the signal by its wakeup fd, not by Python's handler."""
        super().add_signal_handler(sig, callback, *args)
        signal.signal(sig, self._count_down)  # asyncio has put one there that does nothing

    def _count_down(self, _number: int, _frame: FrameType | None) -> None:
        if not self._counting:
            self._counting = True
            faulthandler.dump_traceback_later(EXIT_LIMIT_SECONDS, exit=True)
