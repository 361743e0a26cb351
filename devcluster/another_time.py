"""Passes a shifted clock on to child processes.

Only tests shift a process's clock (tests/harness/midnight.py), by a preloaded library. A child process with an
environment of its own needs the same variables to share the shifted clock.
"""

from __future__ import annotations

import os

SECONDS = "ANOTHER_TIME_SECONDS"
"""The variable that says how many seconds the clocks are ahead."""


def passed_on() -> dict[str, str]:
    """Return the variables for a child process with an environment of its own; {} without a shifted clock."""
    return {name: os.environ[name] for name in (SECONDS, "LD_PRELOAD") if SECONDS in os.environ and name in os.environ}
