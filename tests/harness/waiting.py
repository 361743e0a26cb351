"""Waits for a real event: asks a condition again and again until the condition holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

STEP_SECONDS = 0.1
PATIENCE_SECONDS = 60
"""Of a machine that does much else. Who is patient with a test that passes pays nothing."""


def eventually(check: Callable[[], T | None], *, what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Return the first truthy answer of `check`. Raises AssertionError after `seconds` without such an answer."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; last answer: {answer!r}"
        time.sleep(STEP_SECONDS)
    return answer
