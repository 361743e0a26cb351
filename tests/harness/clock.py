"""A clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Says `now`, in seconds, which the test changes."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now
