"""Freezes a process for a while. The process keeps its connections, locks and leases."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop the process `pid` (SIGSTOP) until the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
