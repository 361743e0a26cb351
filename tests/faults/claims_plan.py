"""What a run of claims does and suffers, all of it from a seed.

Which tick's which attempt works how and comes to harm at which moment, and what is done to claimers from outside in
which order, is the same in each run of a seed; how their processes interleave is the machine's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.claims_history import TickId

LEASE_SECONDS = 1.0
RENEWAL_SECONDS = 0.3
HARMED_ATTEMPTS = 3
"""An attempt after these works and ends, so that every tick does."""

_REGIONS = 20
_MINUTES = 1200
_HARMFUL = 0.03
_EVERY_SECONDS = 0.5


def chance(*about: object) -> Random:
    """Return chance that is the same whenever it is about the same."""
    return Random(" ".join(map(str, about)))  # noqa: S311 - repeatable is the point


class Work(StrEnum):
    """What a handler does."""

    TOGETHER = auto()
    """Its effect is committed with the tick's end."""
    STEPS = auto()
    """So is its second one; its first one before."""
    APART = auto()
    """Its effect is committed, then the tick's end."""
    AGAIN = auto()
    """As in STEPS, but it fails between the two, and another attempt may help."""
    FAILS = auto()
    """It fails after its first effect, and no other attempt can help."""


class Moment(StrEnum):
    """Where in its work an attempt comes to harm."""

    CLAIMED = auto()
    WROTE = auto()
    """With its effect written, and the lease not looked at yet."""
    GUARDED = auto()
    """Before COMMIT, with the tick's row locked: whoever asks for it waits, so few freeze here."""
    COMMITTED = auto()


class Harm(StrEnum):
    """What happens to a claimer; what `lasts` is longer than a lease."""

    KILL = auto()
    FREEZE = auto()
    CUT = auto()
    """What it and the database say to each other comes late, or to a process that is gone."""
    SEVER = auto()
    """Its connections end."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one attempt does, for how many seconds beside, and what it meets."""

    work: Work
    seconds: float
    harm: tuple[Moment, Harm] | None


@dataclass(frozen=True, slots=True)
class Blow:
    """A harm from outside, so many seconds after the last one."""

    after: float
    harm: Harm
    claimer: int
    lasts: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same in each run of a seed. Every claimer asks for every tick until it is final."""

    seed: int
    ticks: int
    claimers: int
    begin: datetime
    """The first tick's minute."""

    @classmethod
    def of(cls, claims: int, *, seed: int, claimers: int, begin: datetime) -> Plan:
        """Return a plan that takes at least so many claims."""
        return cls(seed, math.ceil(claims / claimers), claimers, begin)

    @property
    def regions(self) -> int:
        """How many regions there are: so many that all ticks are of less than a day."""
        return max(_REGIONS, math.ceil(self.ticks / _MINUTES))

    def tick(self, index: int) -> TickId:
        """Return the tick of an index: minute by minute, in each all regions."""
        minute, region = divmod(index, self.regions)
        return str(region), self.begin + timedelta(minutes=minute)

    def late(self, index: int) -> bool:
        """Tell whether the tick's first claim is to find that it is too late."""
        return chance(self.seed, "late", index).random() < 0.01

    def run_again(self, index: int) -> bool:
        """Tell whether somebody has the tick run again, if it does not succeed."""
        return chance(self.seed, "again", index).random() < 0.7

    def part(self, tick: TickId, attempt: int) -> Part:
        """Return what an attempt does."""
        random = chance(self.seed, tick, attempt)
        usual = attempt > HARMED_ATTEMPTS
        failing = (0, 0) if usual else (2, 1) if attempt == 1 else (2, 20)  # most reruns are second attempts
        work = random.choices(list(Work), (70, 14, 13, *failing))[0]
        seconds = random.choices((0.0, random.uniform(0.0, 0.1), random.uniform(0.5, 1.5)), (90, 8, 2))[0]
        harmful = random.random() < _HARMFUL * attempt and not usual
        harm = random.choice((Harm.KILL, Harm.FREEZE))
        moment = random.choices(list(Moment), (3, 4, 1, 2) if harm is Harm.FREEZE else (1, 1, 1, 1))[0]
        return Part(work, seconds, (moment, harm) if harmful else None)

    def blows(self) -> Iterator[Blow]:
        """Yield what is done to the claimers from outside, without an end."""
        random = chance(self.seed, "blows")
        while True:
            yield Blow(
                after=random.uniform(0.0, 2 * _EVERY_SECONDS),
                harm=random.choices(list(Harm), (1, 3, 1, 1))[0],  # FREEZE most often: few other harms need the fence
                claimer=random.randrange(self.claimers),
                lasts=self.lasting(random),
            )

    def lasting(self, random: Random) -> float:
        """Return how many seconds something lasts that is to outlast a lease."""
        return random.uniform(1.1, 2.2) * LEASE_SECONDS

    def clock(self, claimer: int, second: int) -> float:
        """Return by how many seconds a claimer's clock is wrong in a second of its life; half of them are right."""
        random = chance(self.seed, "clock", claimer, second)
        return random.choice((0.0, 0.0, -3600.0, -2.0, 2.0, 50.0, 3600.0)) if claimer % 2 else 0.0
