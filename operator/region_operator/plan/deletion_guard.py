"""Decides which changes that stop regions may be made: the guard against a table that lost or spoiled its rows. Pure.

A region stops ticking if its CronJob is deleted, if the CronJob is suspended because the row is quarantined, or if the
region ticks more than ten times less often from now on. All three count together.

| the planned change stops                     | outcome                                                    |
|----------------------------------------------|------------------------------------------------------------|
| a region, and is approved                    | allowed, not counted                                       |
| one region of few                            | allowed, counted                                           |
| one region of too many                       | held, with all unapproved stops of the plan                |
| the last region that ticks, after others     | held, with all unapproved stops of the plan                |
| any region, while a hold of its kind lasts   | held: the change joins the hold                            |
| no region: a duplicate CronJob, for example  | allowed, not counted                                       |

Too many: the regions of this plan plus the regions that stopped within the window exceed the allowance. The allowance
is the greater of `max_count` and `max_percent` of all regions. "All regions" are the regions with a CronJob now plus
the regions that stopped within the window, so deletions do not shrink the allowance. Within a day three times the
allowance may stop, so that an allowance for each window does not empty a table. A plan beyond the allowance is held as
a whole. Stopping only the first few is wrong either way: too many if the loss is an accident, too few if the stop is
meant.

A RegionScheduler that finds CronJobs of one before it does not know which regions stopped lately, so its allowance
counts as used up: within the window no region stops without an approval, and within a day one allowance may stop.
Otherwise a RegionScheduler that is deleted and made again would be a way past the guard.

The last region: no region would go on ticking, although the window saw two regions or more. The guard never relies on
an empty table at once, however few regions there are: docs/decisions/0008-an-empty-table-is-not-believed-at-once.md.

Each kind of change has a hold of its own, so rows that stay bad do not freeze deletions. A hold names its regions when
the hold begins, and names them again when a region joins, also one whose row came back and went again. A hold ends when
no named region is to be changed any more, because its row is as before or its change is approved. A `max_percent` of
100 turns the guard off and ends the holds too. Neither time nor new CronJobs end a hold. An approval covers the regions
that the status shows as held, except those whose rows are as before when the operator sees the approval. The approval
is a hash of the kind, the regions and the moment; why the moment is part of the hash:
docs/decisions/0006-approval-of-held-deletions.md.

The guard counts regions, not requests: a region whose change fails and is repeated counts once, and its time in the
window starts at the latest decision. A region whose row is mended leaves the count at once. Recent stops are kept in
the RegionScheduler's status. So a thousand single deletions, a restart or a new leader change nothing. The table's own
database is not asked, because the database may be the wrong one. `now` is the API server's clock, so the window is the
same for every leader; if the clocks of several API servers differ, it is longer or shorter by the difference.

Creations are left to `growth_guard`, and how a hold is announced to `hold_report`, `status` and `announce`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import Change, Guarded
from region_operator.plan.guard_memory import NONE, GuardState, RecentStop, RegionKeys, update_hold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.plan.changes import Plan
    from region_operator.scheduler import DeletionGuard

_DELETION, _QUARANTINE = Guarded.DELETION, Guarded.QUARANTINE
STOPS = (_DELETION, _QUARANTINE, Guarded.SLOWDOWN)
DAY = timedelta(days=1)
DAILY_FACTOR = 3
"""How many allowances may be used up within a DAY."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Which changes of a plan may be made, and which are held.

    `plan` holds the allowed changes, `allowance` is a number of regions. `state` must be saved before any change is
    made.
    """

    plan: Plan
    held: tuple[Change, ...]
    allowance: int
    state: GuardState

    @property
    def is_past_unknown(self) -> bool:
        """Whether nobody knows all regions that stopped within the last day."""
        return self.state.unknown_before is not None

    def held_of(self, kind: Guarded) -> tuple[Change, ...]:
        """Return the held changes of a kind."""
        return tuple(change for change in self.held if change.guarded is kind)


def guard_stops(
    plan: Plan, current: Sequence[LiveCronJob], *, guard: DeletionGuard, state: GuardState, approval: str, now: datetime
) -> Decision:
    """Decide on the changes of a plan that stop regions.

    `current` holds the CronJobs for which the plan was made. `approval` is the text that a person wrote to approve a
    hold, or "". `now` has a time zone; fractions of a second are dropped.
    """
    now = now.replace(microsecond=0)
    asked = _regions_by_kind(plan)
    approved = {kind: state.is_approved(kind, approval) & asked[kind] for kind in STOPS}
    unapproved = {kind: asked[kind] - approved[kind] for kind in STOPS}
    holds = {kind: hold for kind, hold in state.holds.items() if kind in STOPS and hold.regions & unapproved[kind]}

    bad = frozenset(region_key(row.id) for row in plan.quarantined)
    longest = max(guard.window, DAY)
    recent = [_without_mended(item, bad) for item in state.recent if now - item.at <= longest]
    lately = NONE.union(*(item.regions for item in recent if now - item.at <= guard.window))
    fresh = {kind: unapproved[kind] for kind in STOPS if kind not in holds}
    live = [item for item in current if not item.terminating]
    unknown = state.unknown_before if state.unknown_before and now - state.unknown_before <= longest else None
    limit = _Limit(
        guard,
        live,
        lately=lately,
        today=NONE.union(*(item.regions for item in recent)),
        unknown_lately=unknown is not None and now - unknown <= guard.window,
        unknown_today=unknown is not None,
    )
    going = NONE.union(*(kinds.get(kind, NONE) for kind in (_DELETION, _QUARANTINE) for kinds in (fresh, approved)))
    too_many = limit.is_beyond(NONE.union(*fresh.values())) or limit.leaves_none(going)
    held = {kind: unapproved[kind] if too_many or kind in holds else NONE for kind in STOPS}
    if guard.max_percent == 100:
        held = dict.fromkeys(STOPS, NONE)

    allowed = _without(plan, held)
    counted = {kind: unapproved[kind] - held[kind] for kind in STOPS}
    others = {kind: hold for kind, hold in state.holds.items() if kind not in STOPS}
    new_holds = {kind: update_hold(holds.get(kind), held[kind], kind, now) for kind in STOPS}
    return Decision(
        plan=allowed,
        held=tuple(change for change in _changes(plan) if _is_in(change, held)),
        allowance=limit.allowance,
        state=replace(
            state,
            recent=_count(recent, counted, now, guard.window) if len(allowed) else state.recent,
            holds={kind: hold for kind, hold in new_holds.items() if hold} | others,
            approved={kind: regions for kind, regions in {**state.approved, **approved}.items() if regions},
            unknown_before=unknown,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Limit:
    """How many regions may stop. `lately` stopped within the window, `today` within a day, as far as it is known."""

    guard: DeletionGuard
    live: Sequence[LiveCronJob]
    lately: RegionKeys
    today: RegionKeys
    unknown_lately: bool
    unknown_today: bool

    @property
    def allowance(self) -> int:
        """How many regions may stop within the window."""
        return self._allow(self.lately)

    def is_beyond(self, stops: RegionKeys) -> bool:
        """Tell whether too many regions would stop."""
        if not stops:
            return False
        factor = 1 if self.unknown_today else DAILY_FACTOR
        too_many_today = len(stops | self.today) > factor * self._allow(self.today)
        return self.unknown_lately or len(stops | self.lately) > self.allowance or too_many_today

    def leaves_none(self, going: RegionKeys) -> bool:
        """Tell whether the last of two or more regions would go or stand still."""
        if not going:
            return False
        regions = frozenset(map(_key, self.live))
        ticking = frozenset(_key(item) for item in self.live if not item.quarantined)
        return (ticking or regions) <= going and len(regions | self.lately) > 1

    def _allow(self, stopped: RegionKeys) -> int:
        all_regions = stopped.union(map(_key, self.live))
        return self.guard.allowance(len(all_regions))


def _regions_by_kind(plan: Plan) -> Mapping[Guarded, RegionKeys]:
    by_kind: dict[Guarded, set[str]] = defaultdict(set)
    for change in _changes(plan):
        if change.guarded:
            by_kind[change.guarded].add(change.key)
    return {kind: frozenset(by_kind[kind]) for kind in STOPS}


def _changes(plan: Plan) -> tuple[Change, ...]:
    return (*plan.writes, *plan.deletes)


def _is_in(change: Change, regions: Mapping[Guarded, RegionKeys]) -> bool:
    return change.guarded is not None and change.key in regions.get(change.guarded, NONE)


def _without(plan: Plan, held: Mapping[Guarded, RegionKeys]) -> Plan:
    """Return a plan without the held changes, with what is written in their place.

    Regions that wait for a code of a CronJob that goes now are due in the next reconcile.
    """
    if not any(held.values()) and not plan.waits:
        return plan
    instead = [change.replacement for change in _changes(plan) if _is_in(change, held) and change.replacement]
    deletes = tuple(delete for delete in plan.deletes if not _is_in(delete, held))
    going = {delete.live.name for delete in deletes}
    return replace(
        plan,
        writes=(*(write for write in plan.writes if not _is_in(write, held)), *instead),
        deletes=deletes,
        pending=plan.pending + sum(wait.cronjobs <= going for wait in plan.waits),
    )


def _without_mended(item: RecentStop, bad: RegionKeys) -> RecentStop:
    return replace(item, regions=item.regions & bad) if item.kind is _QUARANTINE else item


def _count(
    recent: Sequence[RecentStop], counted: Mapping[Guarded, RegionKeys], now: datetime, window: timedelta
) -> tuple[RecentStop, ...]:
    """Add regions to the recent stops. A region that was counted before is counted from now on instead.

    A quarantine leaves the count when the row is mended, so it takes the place of nothing else. What is older than the
    window is kept by the hour: a day of single stops would fill the status.
    """
    again = NONE.union(*counted.values())
    lasting = NONE.union(*(regions for kind, regions in counted.items() if kind is not _QUARANTINE))
    by_moment: dict[tuple[datetime, Guarded], RegionKeys] = {}
    latest: dict[tuple[datetime, Guarded], datetime] = {}
    for item in recent:
        bucket = item.at.replace(minute=0, second=0) if now - item.at > window else item.at
        place = bucket, item.kind
        counted_anew = again if item.kind is _QUARANTINE else lasting
        by_moment[place] = by_moment.get(place, NONE) | (item.regions - counted_anew)
        latest[place] = max(latest.get(place, item.at), item.at)
    earlier = [RecentStop(latest[place], regions, place[1]) for place, regions in by_moment.items()]
    new = [RecentStop(now, regions, kind) for kind, regions in counted.items()]
    return tuple(item for item in (*earlier, *new) if item.regions)


def _key(live: LiveCronJob) -> str:
    """Return the key of a CronJob's region, or the CronJob's name if the CronJob has no key."""
    return live.key or live.name
