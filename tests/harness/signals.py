"""Lets a program that a test starts heed signals, although who started the tests ignores them.

`nohup` has SIGHUP ignored, and a shell has SIGINT ignored by what it starts in the background. Programs inherit that.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def heeded(number: int) -> Iterator[None]:
    """Have programs that are started meanwhile heed a signal. The signal is ignored again after that, if it was."""
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
