"""What a completed reconcile comes to, as values. Pure. What the status makes of it is left to `status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_operator.regions.region import MAX_NAMED_REGIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.plan.changes import Guarded
    from region_operator.plan.suspension import Suspension
    from region_operator.regions.region import Quarantined


@dataclass(frozen=True, slots=True)
class ReconcileSummary:
    """The counts and texts of a reconcile that was completed. All counts are regions; `held` is by kind, without 0."""

    active: int
    quarantined: Sequence[Quarantined]
    held: Mapping[Guarded, int]
    changed: bool
    scheduled: int = 0
    """How many active rows have a CronJob that is not suspended, when the changes are made."""
    paused: int = 0
    pause_problem: str = ""
    """Which pauses have an end that cannot be read, in words. Empty: none has."""
    suspension: Suspension | None = None
    """What suspends all regions. None: nothing does."""
    waiting: int = 0
    """How many rows wait for the code of a region whose deletion is held."""
    excess: str = ""
    """Why regions are not created, in words. Empty: there is room."""
    quota_conflict: str = ""
    """Why the number of ticks at once is not limited, in words. Empty: the quota is ours."""
    altered: str = ""
    """Which CronJobs an admission policy changed as they were written, in words. Empty: none."""
    schema_conflict: str = ""
    """Why the operator leaves its own tables alone, in words. Empty: the operator uses its tables."""
    overcommitment: str = ""
    """Why ticks of the next 24 hours will be lost, in words. Empty: all fit."""
    deafness: str = ""
    """Why edits show at the refresh interval only, in words. Empty: edits are heard."""
    clock_skew: str = ""
    """What the skew of the database's clock does to ticks, in words. Empty: the clocks agree."""
    history: str = ""
    """Which server the database is, and its timeline. Empty: the server does not tell."""
    refusal: str = ""
    """Why the last good spec.tick is followed, in words. Empty: the RegionScheduler's own is followed."""
    taken: str = ""
    """Why regions that the spec wants are left to another installation, in words. Empty: none is."""
    offer: str = ""
    """In how many slots regions tick here only until another shard has taken them over, in words. Empty: in none."""
    unfinished: str = ""
    """What the next reconcile must do at once, in words. Empty: nothing is left."""

    @property
    def first_reasons(self) -> str:
        """Why the first few quarantined regions are not scheduled, in words."""
        named = "; ".join(f"{row.code or row.id}: {row.reason}" for row in self.quarantined[:MAX_NAMED_REGIONS])
        rest = len(self.quarantined) - MAX_NAMED_REGIONS
        return f"{named}; and {rest} more" if rest > 0 else named
