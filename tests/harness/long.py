"""Tests that have two forms: a short one with fewer rounds of the same checks, and a long one, by `make test-long`."""

from __future__ import annotations

import os
from typing import TypeVar

Rounds = TypeVar("Rounds", int, float)

LONG = os.environ.get("TESTS") == "long"


def rounds(short: Rounds, *, long: Rounds) -> Rounds:
    """Return how many of something a test has, in the form in which it runs now."""
    return long if LONG else short
