"""A course of edits, commands and faults, as values: it can be printed, and run again.

It has lanes, each a sequence of actions one after the other; what is in different lanes overlaps. There is one writer
of the table, so the course knows what stands in it after each edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEDULES = ("*/2 * * * *", "*/5 * * * *", "0 * * * *", "@hourly", "17 3 * * 1-5", "0 0 1 * *", "5,35 */6 * * *")
BAD_SCHEDULES = ("61 * * * *", "0 3 * * 7", "0 0 31 2 *", "every hour", "")

ALLOWANCE, WINDOW_SECONDS = 8, 60
"""The deletion guard's, of which the first may go within the second, the shortest that there is."""


class Lane(StrEnum):
    """What an action is done to, or by whom."""

    TABLE = "table"
    PEOPLE = "people"
    DATABASE = "database"
    API_SERVER = "API server"
    OPERATOR_1 = "operator 1"
    OPERATOR_2 = "operator 2"
    OPERATOR_3 = "operator 3"


OPERATORS = (Lane.OPERATOR_1, Lane.OPERATOR_2, Lane.OPERATOR_3)


class Deed(StrEnum):
    """What is done."""

    INSERT = "insert"
    RESCHEDULE = "reschedule"
    RENAME = "rename"
    SPOIL = "spoil"
    MEND = "mend"
    DEACTIVATE = "deactivate"
    DELETE = "delete"
    TRUNCATE = "truncate"
    LOSE = "lose"
    RESTORE = "restore"
    BURST = "burst"

    SUSPEND = "suspend"
    RELABEL = "relabel"
    ADD_VARIABLE = "add variable"
    PAUSE = "pause"
    APPROVE = "approve"

    KILLED = "killed"
    STOPPED = "stopped"
    RESTARTED = "restarted"
    FROZEN = "frozen"
    CUT = "cut"
    SLOW = "slow"
    SESSIONS_ENDED = "sessions ended"
    OUT_OF_CONNECTIONS = "out of connections"
    REFUSED = "refused"
    READ_ONLY = "read only"
    WITHOUT_TABLE = "without table"
    WITHOUT_COLUMN = "without column"
    WITHOUT_RIGHT = "without right"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    id: str
    code: str
    cron: str
    active: bool = True


Table: TypeAlias = "Mapping[str, Row]"
"""The table's rows by id."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One transaction: the table loses all rows or those of some ids, then gets some, over those of the same ids."""

    put: tuple[Row, ...] = ()
    drop: tuple[str, ...] = ()
    truncate: bool = False

    def of(self, table: Table) -> Table:
        """Return the table after it."""
        kept = {} if self.truncate else {key: row for key, row in table.items() if key not in self.drop}
        return MappingProxyType(kept | {row.id: row for row in self.put})


@dataclass(frozen=True, slots=True)
class Action:
    """A deed that begins `at` seconds from the start, or when its lane is free, and is undone `seconds` later. `edits`
    are the table's; `pick`, from 0 to 1, says which of the CronJobs that there are.
    """

    at: float
    lane: Lane
    deed: Deed
    seconds: float = 0.0
    pick: float = 0.0
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        span = f"{self.at:7.1f} s  {self.lane:<10}  {self.deed}"
        return span + (f" for {self.seconds:.1f} s" if self.seconds else "") + _shown(self.edits)


@dataclass(frozen=True, slots=True)
class Course:
    """What happens: the first rows, and the actions in the order of their beginnings."""

    seed: int
    seconds: float
    rows: tuple[Row, ...]
    actions: tuple[Action, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}, {self.seconds:.0f} s", *map(str, self.actions)])

    def of(self, lane: Lane) -> tuple[Action, ...]:
        """Return a lane's actions."""
        return tuple(action for action in self.actions if action.lane is lane)


def _shown(edits: Sequence[Edit]) -> str:
    """Show the last of some edits, with its first row."""
    if not edits:
        return ""
    last = edits[-1]
    row = f" {last.put[0].code} {last.put[0].cron!r} active={last.put[0].active}" if last.put else ""
    ids = f" {', '.join(last.drop[:2])}" if last.drop else ""
    counts = [f"{len(edits)} edits"] * (len(edits) > 1) + [f"{len(last.put) or len(last.drop)} rows"]
    return f"{row}{ids} ({', '.join(counts)})"
