"""Plans a backfill: which ticks are run again, in which order, how many at once, and what became of them. Pure.

A tick is run again if it is final and did not succeed. A region runs one of its ticks at a time, the oldest first, as
its CronJob does (`concurrencyPolicy: Forbid`); regions run beside each other. The reruns share the quota of
`spec.concurrency` with the ticks of the day, so by default they take half of it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from kubectl_region.errors import PluginError
from region_tick.contract import Reason, State, rerun_job_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime


class Wanted(StrEnum):
    """Which ticks a backfill takes."""

    MISSED = "missed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """What was skipped, except by a suspension: behind ticks that an outage held up, for example."""
    SUSPENDED = "suspended"
    """The ticks of a suspended region: somebody did not want them. They have no rows of their own yet."""


WANTED_HELP = f"Of: {', '.join(Wanted)}. What a pause or another suspension skipped is suspended, not skipped."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """A tick to run again. `state` and `reason` are those of the tick now, `attempt` the attempts that it had."""

    code: str
    cronjob: str
    tick_at: datetime
    attempt: int = 0
    state: str = ""
    reason: str = ""

    @property
    def tick(self) -> tuple[str, datetime]:
        """What tells the tick from all others of the namespace."""
        return self.cronjob, self.tick_at

    @property
    def job(self) -> str:
        """The name of the Job. Whoever begins the same backfill again finds the Job by it."""
        return rerun_job_name(self.cronjob, self.tick_at, attempt=self.attempt + 1)


class Outcome(StrEnum):
    """What became of a rerun."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a backfill is."""

    total: int
    succeeded: int = 0
    failed: int = 0
    running: int = 0

    @property
    def left(self) -> int:
        """How many ticks have not begun."""
        return self.total - self.succeeded - self.failed - self.running

    def __str__(self) -> str:
        done = self.succeeded + self.failed
        return (
            f"{done} of {self.total}: {self.succeeded} succeeded, {self.failed} failed, {self.running} running,"
            f" {self.left} left"
        )


def tally(total: int, outcomes: Iterable[Outcome], running: int) -> Tally:
    """Count what became of `total` reruns."""
    counts = Counter(outcomes)
    return Tally(total, counts[Outcome.SUCCEEDED], counts[Outcome.FAILED], running)


def read_wanted(text: str) -> set[Wanted]:
    """Read which states are wanted. Raises PluginError."""
    words = {word.strip() for word in text.split(",")}
    if unknown := words - set(Wanted):
        raise PluginError(f'--state "{min(unknown)}" is none of {",".join(Wanted)}', "write one of them, or several")
    return {Wanted(word) for word in words}


def is_wanted(state: str, reason: str | None, wanted: Collection[Wanted]) -> bool:
    """Whether a tick in a state is to be run again."""
    if state == State.SKIPPED and reason == Reason.SUSPENDED:
        return Wanted.SUSPENDED in wanted
    return state in {str(each) for each in wanted}


def limit_of(concurrency: int, wanted: int | None) -> int:
    """Return how many reruns may run at once: half of the cap by default, and never more than the cap."""
    return max(1, min(concurrency, concurrency // 2 if wanted is None else wanted))


def free_places(limit: int, concurrency: int, *, ours: int, all_reruns: int) -> int:
    """Return how many reruns may begin now; perhaps fewer than none.

    `limit` is for our own ones. Those of everybody fit into the cap together: so a single rerun need not wait for a
    long backfill.
    """
    return min(limit - ours, concurrency - all_reruns)


def with_free_name(rerun: Rerun, ended: Collection[str]) -> Rerun:
    """Return a rerun with the next number if the Job of its name has ended: that one came to nothing."""
    while rerun.job in ended:
        rerun = replace(rerun, attempt=rerun.attempt + 1)
    return rerun


def next_reruns(waiting: Sequence[Rerun], *, busy: Collection[str], free: int) -> list[Rerun]:
    """Return the reruns to begin now: at most `free`, one for each CronJob that is not `busy`, the oldest first."""
    chosen: dict[str, Rerun] = {}
    for rerun in sorted(waiting, key=lambda each: (each.tick_at, each.code)):
        if len(chosen) >= free:
            break
        if rerun.cronjob not in busy:
            chosen.setdefault(rerun.cronjob, rerun)
    return list(chosen.values())
