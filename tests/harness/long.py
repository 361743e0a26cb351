"""Chooses the form of tests that have two forms: the short form, or the long form of `make test-long`.

Both forms check the same. The short form has fewer rounds.
"""

from __future__ import annotations

import os
from typing import TypeVar

Rounds = TypeVar("Rounds", int, float)

LONG = os.environ.get("TESTS") == "long"


def rounds(short: Rounds, *, long: Rounds) -> Rounds:
    """Return `short` or `long`, as the form of this run says."""
    return long if LONG else short
