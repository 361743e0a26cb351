"""Drawing a course from a seed. Pure: the same seed gives the same course."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.faults.course import BAD_SCHEDULES, OPERATORS, SCHEDULES, Action, Course, Deed, Edit, Lane, Row, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SHORT_SEED, SHORT_MINUTES = 344, 3.0
"""The course that CI runs: of the seeds, 344 has nearly every deed in so short a time."""
AROUND_SECONDS = 60
"""What of the time is for starting and for the quiet end."""

REGIONS = 40
SPREAD = 10
"""How many rows more or fewer than at first there may be, but for rows that are lost and come back."""

_DELETIONS, _DELETIONS_SECONDS = 4, 90
"""How many regions the course lets go one by one, so that they are within the allowance also where an edit is late."""

_BURST = (20, 60)
_LOST_SECONDS = (2.0, 25.0)


@dataclass(frozen=True, slots=True)
class Chance:
    """A deed, how often it comes compared with others of its lane, and how long it lasts."""

    deed: Deed
    weight: int
    seconds: tuple[float, float] = (0.0, 0.0)


_OPERATOR = (
    Chance(Deed.KILLED, 3),
    Chance(Deed.STOPPED, 3),
    Chance(Deed.FROZEN, 2, (0.5, 8)),
    Chance(Deed.FROZEN, 3, (16, 25)),
    Chance(Deed.CUT, 2, (2, 8)),
    Chance(Deed.CUT, 3, (12, 30)),
    Chance(Deed.SLOW, 2, (5, 15)),
)
CHANCES: Mapping[Lane, tuple[tuple[float, float], tuple[Chance, ...]]] = {
    Lane.PEOPLE: (
        (1, 8),
        (
            Chance(Deed.RESCHEDULE, 3),
            Chance(Deed.SUSPEND, 3),
            Chance(Deed.DELETE, 3),
            Chance(Deed.RELABEL, 3),
            Chance(Deed.ADD_VARIABLE, 3),
            Chance(Deed.PAUSE, 1, (2, 10)),
            Chance(Deed.APPROVE, 1),
        ),
    ),
    Lane.DATABASE: (
        (5, 25),
        (
            Chance(Deed.KILLED, 3, (1, 15)),
            Chance(Deed.STOPPED, 2, (1, 15)),
            Chance(Deed.RESTARTED, 3),
            Chance(Deed.FROZEN, 3, (1, 12)),
            Chance(Deed.FROZEN, 1, (38, 50)),
            Chance(Deed.CUT, 2, (2, 15)),
            Chance(Deed.SLOW, 2, (5, 15)),
            Chance(Deed.SESSIONS_ENDED, 3),
            Chance(Deed.OUT_OF_CONNECTIONS, 1, (3, 10)),
            Chance(Deed.REFUSED, 1, (3, 10)),
            Chance(Deed.READ_ONLY, 2, (3, 10)),
            Chance(Deed.WITHOUT_TABLE, 1, (2, 8)),
            Chance(Deed.WITHOUT_COLUMN, 1, (2, 8)),
            Chance(Deed.WITHOUT_RIGHT, 1, (2, 8)),
        ),
    ),
    Lane.API_SERVER: (
        (20, 60),
        (
            Chance(Deed.KILLED, 3, (1, 12)),
            Chance(Deed.FROZEN, 2, (1, 8)),
            Chance(Deed.FROZEN, 1, (12, 25)),
        ),
    ),
} | dict.fromkeys(OPERATORS, ((10, 45), _OPERATOR))
"""For each lane how many seconds are between the end of one action and the next, and what it may be."""

_TABLE_GAP = (0.2, 4.0)
_TABLE_WEIGHTS = {
    Deed.INSERT: 4,
    Deed.RESCHEDULE: 8,
    Deed.RENAME: 3,
    Deed.SPOIL: 3,
    Deed.MEND: 3,
    Deed.DEACTIVATE: 2,
    Deed.DELETE: 4,
    Deed.TRUNCATE: 1,
    Deed.LOSE: 1,
    Deed.BURST: 2,
}


def draw(seed: int, seconds: float, *, regions: int = REGIONS) -> Course:
    """Draw a course that is over after about `seconds`. The same numbers give the same course."""
    table = _Table(random.Random(f"{seed} {Lane.TABLE}"), regions)  # noqa: S311 - to be repeated, not a secret
    first = tuple(table.rows.values())
    actions = [*table.actions(seconds)]
    for lane in CHANCES:
        actions += _actions(random.Random(f"{seed} {lane}"), lane, seconds)  # noqa: S311
    return Course(seed, seconds, first, tuple(sorted(actions, key=lambda action: action.at)))


def _actions(rng: random.Random, lane: Lane, seconds: float) -> Iterator[Action]:
    gap, chances = CHANCES[lane]
    at = rng.uniform(*gap)
    while at < seconds:
        chance = rng.choices(chances, [chance.weight for chance in chances])[0]
        action = Action(at, lane, chance.deed, rng.uniform(*chance.seconds), pick=rng.random())
        if at + action.seconds <= seconds:
            yield action
        at += action.seconds + rng.uniform(*gap)


@dataclass(slots=True)
class _Table:
    """The table as the course lets it become."""

    rng: random.Random
    regions: int
    rows: Table = field(default_factory=dict)
    deletions: list[float] = field(default_factory=list)
    codes: int = 0

    def __post_init__(self) -> None:
        self.rows = MappingProxyType({row.id: row for row in (self._new() for _ in range(self.regions))})

    def actions(self, seconds: float) -> Iterator[Action]:
        at = self.rng.uniform(*_TABLE_GAP)
        while at < seconds:
            deed = self.rng.choices([*_TABLE_WEIGHTS], [*_TABLE_WEIGHTS.values()])[0]
            before = self.rows
            if edits := self._edits(deed, at):
                yield self._action(at, deed, edits)
            if deed in (Deed.TRUNCATE, Deed.LOSE):
                at += self.rng.uniform(*_LOST_SECONDS)
                yield self._action(at, Deed.RESTORE, [Edit(put=tuple(before.values()))])
            at += self.rng.uniform(*_TABLE_GAP)

    def _action(self, at: float, deed: Deed, edits: Sequence[Edit]) -> Action:
        for edit in edits:
            self.rows = edit.of(self.rows)
        return Action(at, Lane.TABLE, deed, edits=tuple(edits))

    def _edits(self, deed: Deed, at: float) -> list[Edit]:
        """Return what a deed does to the table as it is, nothing where it cannot be done now."""
        rows = sorted(self.rows.values(), key=lambda row: row.id)
        row = self.rng.choice(rows)
        match deed:
            case Deed.INSERT:
                return [Edit(put=(self._new(),))] if len(rows) < self.regions + SPREAD else []
            case Deed.RESCHEDULE | Deed.MEND:
                spoilt = [row for row in rows if row.cron in BAD_SCHEDULES]
                row = self.rng.choice(spoilt) if deed is Deed.MEND and spoilt else row
                return [Edit(put=(replace(row, cron=self.rng.choice(SCHEDULES)),))]
            case Deed.SPOIL:
                return [Edit(put=(replace(row, cron=self.rng.choice(BAD_SCHEDULES)),))]
            case Deed.RENAME:
                return [Edit(put=(replace(row, code=self._code()),))]
            case Deed.DEACTIVATE:
                if not row.active:
                    return [Edit(put=(replace(row, active=True),))]
                return [Edit(put=(replace(row, active=False),))] if self._may_go(at) else []
            case Deed.DELETE:
                return [Edit(drop=(row.id,))] if len(rows) > self.regions - SPREAD and self._may_go(at) else []
            case Deed.TRUNCATE:
                return [Edit(truncate=True)]
            case Deed.LOSE:
                return [Edit(drop=tuple(row.id for row in self.rng.sample(rows, len(rows) * 2 // 3)))]
            case _:
                return [*self._burst(row)]

    def _burst(self, row: Row) -> Iterator[Edit]:
        for _ in range(self.rng.randint(*_BURST)):
            row = replace(row, cron=self.rng.choice(SCHEDULES))
            yield Edit(put=(row,))

    def _may_go(self, at: float) -> bool:
        self.deletions = [moment for moment in self.deletions if at - moment < _DELETIONS_SECONDS]
        if len(self.deletions) == _DELETIONS:
            return False
        self.deletions.append(at)
        return True

    def _new(self) -> Row:
        region_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        return Row(region_id, self._code(), self.rng.choice(SCHEDULES))

    def _code(self) -> str:
        self.codes += 1
        return f"R-{self.codes}"
