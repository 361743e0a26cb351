"""Whether this process believes in another time than the machine's, and how those that it starts can share the belief.

Nothing but tests makes a process so (tests/harness/midnight.py), by a library that is preloaded.
"""

from __future__ import annotations

import os

SECONDS = "ANOTHER_TIME_SECONDS"
"""How far the clocks are ahead."""


def passed_on() -> dict[str, str]:
    """Return the variables to give to a process that gets an environment of its own."""
    names = (SECONDS, "LD_PRELOAD") if SECONDS in os.environ else ()
    return {name: os.environ[name] for name in names}
