"""Bugs to plant in a claimer, each by taking away what a statement of the tick's says: what a checker is to find."""

from __future__ import annotations

import re
from enum import StrEnum, auto
from typing import TYPE_CHECKING

from region_tick import claim, effects, fence, rerun
from region_tick.rerun import CLAIM_AGAIN
from region_tick.statements import CLAIM, FINISH

if TYPE_CHECKING:
    from types import ModuleType

FENCE = (
    "AND pod = %(pod)s::text AND attempt = %(attempt)s::integer"
    " AND state IS NOT DISTINCT FROM 'running' AND lease_until > clock_timestamp()"
)
_LEASE = "AND run.lease_until <= clock_timestamp()"
_OPEN = "run.state IN ('running', 'interrupted') AND"
_ANOTHER_RERUN = "AND run.rerun_uid IS DISTINCT FROM %(rerun_uid)s::text"
_NO_RERUN = "AND NOT %(rerun)s::boolean"
_FORWARD = "cursor.window_end < excluded.window_end AND"


class Bug(StrEnum):
    """What a claim lacks."""

    NO_FENCE = auto()
    """Whoever was at work commits and ends the tick, whoever holds it now."""
    NO_GUARD = auto()
    """Effects are committed without a look at the lease; the tick's end is fenced."""
    NO_LEASE = auto()
    """Whoever comes takes over."""
    NO_END = auto()
    """A tick that is final is begun again."""
    NO_COMPARISON = auto()
    """The cursor moves wherever the last one to end carries it."""
    NO_END_OF_RERUN = auto()
    """A rerun begins again what it has ended."""
    CURSOR_OF_RERUN = auto()
    """A rerun moves the cursor as a tick of its own time does."""


def plant(bug: Bug) -> None:
    """Make this process claim with a bug. Raises ValueError where the statement is not what it was."""
    match bug:
        case Bug.NO_FENCE:
            put(effects, guard_within=lambda _connection, _claimed, **_begun: True)
            put(fence, FINISH=_without(FINISH, FENCE))
        case Bug.NO_GUARD:
            put(effects, guard_within=lambda _connection, _claimed, **_begun: True)
        case Bug.NO_LEASE:
            put(claim, CLAIM=_without(CLAIM, _LEASE))
        case Bug.NO_END:
            put(claim, CLAIM=_without(CLAIM, _OPEN))
        case Bug.NO_COMPARISON:
            put(fence, FINISH=_without(FINISH, _FORWARD))
        case Bug.NO_END_OF_RERUN:
            put(rerun, CLAIM_AGAIN=_without(CLAIM_AGAIN, _ANOTHER_RERUN))
        case Bug.CURSOR_OF_RERUN:
            put(fence, FINISH=_without(FINISH, _NO_RERUN))


def put(module: ModuleType, **names: object) -> None:
    """Have names of a module mean something else in this process. Raises AttributeError for one that it has not."""
    for name, meaning in names.items():
        getattr(module, name)
        setattr(module, name, meaning)


def _without(statement: str, part: str) -> str:
    """Take a part out of a statement, wherever the statement's lines break."""
    rest, found = re.subn(r"\s+".join(map(re.escape, part.split())), "", statement)
    if not found:
        raise ValueError(f"the bug cannot be planted: {part!r} is no part of {statement}")
    return rest
