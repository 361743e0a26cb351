"""The end of a process that was told to stop and hangs.

Whatever asyncio and kopf do on SIGTERM (kopf's `ultimate_exiting_timeout` too) runs in the event loop, so that it does
nothing where the loop hangs. Here a signal handler proper, which Python runs in the main thread whatever that is busy
with, starts a countdown that needs neither the loop nor the interpreter: faulthandler's thread shows where every thread
stands, and ends the process. What it cannot reach, a main thread stuck in C code, is left to the kubelet's SIGKILL.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from typing import TYPE_CHECKING, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

Ts = TypeVarTuple("Ts")

EXIT_LIMIT_SECONDS = 25.0
"""Within the pod's terminationGracePeriodSeconds (30), after which a kill would show nothing."""


class Loop(asyncio.SelectorEventLoop):
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
