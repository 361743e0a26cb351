"""Waiting for something real to happen: a condition is asked again until it holds, never slept for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

STEP_SECONDS = 0.1


def eventually(check: Callable[[], T | None], *, what: str, seconds: float = 30) -> T:
    """Return the first truthy answer of `check`. Raises AssertionError when it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; last answer: {answer!r}"
        time.sleep(STEP_SECONDS)
    return answer
