"""Waits until the cluster has come to something, by looking again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

STEP_SECONDS = 1.0
HEARD_SECONDS = 15
"""How long to wait until the operator has begun to do what was written, or has come a step farther with it."""


def poll(left: Callable[[], T], *, seconds: float) -> T:
    """Ask what is left to wait for until nothing is, or `seconds` are over. Return the last answer."""
    deadline = time.monotonic() + seconds
    while (answer := left()) and time.monotonic() < deadline:
        time.sleep(STEP_SECONDS)
    return answer
