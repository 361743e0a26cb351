"""Filters, sorts and counts regions, and turns them into rows of pages. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from region_operator.console.region_views import NextTick, RegionRow
from region_operator.console.standing import next_tick
from region_operator.console.views import Attention, RegionCounts, RegionState, Trouble
from region_operator.regions.row_values import escaped

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from region_operator.console.region_views import LastTick
    from region_operator.console.snapshot import KnownRegion

ATTENTION = 50
"""How many regions that need a look the overview names."""

_NEVER = timedelta(days=36_500)
_TROUBLES = list(Trouble)


class Filter(StrEnum):
    """What the parameter `state` of a list of regions may name: a state, or what is wrong."""

    TICKING = "ticking"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    QUARANTINED = "quarantined"
    HELD = "held"
    PENDING = "pending"
    INACTIVE = "inactive"
    FAILING = "failing"
    MISSED = "missed"
    LATE = "late"


class Sort(StrEnum):
    """In which order regions are listed."""

    CODE = "code"
    NAME = "name"
    STATE = "state"
    NEXT = "next"
    """The soonest first."""
    LAST_SUCCESS = "lastSuccess"
    """The oldest first; regions that never succeeded before all others."""
    LATE = "late"
    """The latest first."""
    TROUBLE = "trouble"
    """What needs a look first, the worst first."""


def select(regions: Sequence[KnownRegion], *, code: str, filters: Collection[Filter]) -> list[KnownRegion]:
    """Return the regions whose code begins with `code`, or matches it if it has `*` or `?`; upper and lower case are
    the same, and so are a character that cannot be seen and its escape. Of `filters`, one must be a region's state or
    trouble.
    """
    wanted = escaped(code).casefold()
    pattern = _escaped(wanted if any(mark in wanted for mark in "*?") else f"{wanted}*")
    named = (
        regions if not code else [region for region in regions if fnmatchcase(escaped(region.code).casefold(), pattern)]
    )
    values = {str(each) for each in filters}
    return [
        region
        for region in named
        if not values
        or region.standing.state in values
        or any(finding.kind in values for finding in region.standing.findings)
    ]


def sort(regions: Sequence[KnownRegion], by: Sort, now: datetime) -> list[KnownRegion]:
    """Return the regions in order; `regions` are in the order of their codes, which decides where all else is equal."""

    def key(region: KnownRegion) -> Any:
        standing = region.standing
        match by:
            case Sort.NAME:
                return region.name.casefold()
            case Sort.STATE:
                return list(RegionState).index(standing.state)
            case Sort.NEXT:
                return next_tick(region.version, now) or now + _NEVER
            case Sort.LAST_SUCCESS:
                return region.last_success or now - _NEVER
            case Sort.LATE:
                return -(standing.late_by_intervals or 0)
            case Sort.TROUBLE:
                return _rank(region)
            case _:
                return 0

    return sorted(regions, key=key)


def make_row(region: KnownRegion, recent: Sequence[LastTick], now: datetime) -> RegionRow:
    """Return a region as a list shows it."""
    return RegionRow(**row_values(region, recent, now))


def row_values(region: KnownRegion, recent: Sequence[LastTick], now: datetime) -> dict[str, Any]:
    """Return the values of a RegionRow by name."""
    standing = region.standing
    findings = standing.findings
    return {
        "code": region.code,
        "region_id": region.region_id,
        "name": region.name,
        "schedule": region.version.cron if region.version else None,
        "written": region.written,
        "active": region.has_row,
        "state": standing.state,
        "troubles": tuple(finding.kind for finding in findings),
        "next": next_tick(region.version, now),
        "last_tick": recent[0] if recent else None,
        "last_success": region.last_success,
        "late_by_intervals": standing.late_by_intervals,
        "recent": tuple(tick.state for tick in recent),
        "why": "; ".join(finding.text for finding in findings) or standing.why,
    }


def count_regions(regions: Sequence[KnownRegion]) -> RegionCounts:
    """Count the regions by state, and by what is wrong."""
    states = Counter(region.standing.state for region in regions)
    troubles = Counter(finding.kind for region in regions for finding in region.standing.findings)
    return RegionCounts(
        active=sum(region.has_row for region in regions),
        ticking=states[RegionState.TICKING],
        paused=states[RegionState.PAUSED],
        suspended=states[RegionState.SUSPENDED],
        quarantined=states[RegionState.QUARANTINED],
        held=states[RegionState.HELD],
        pending=states[RegionState.PENDING],
        failing=troubles[Trouble.FAILING],
        missed=troubles[Trouble.MISSED],
        late=troubles[Trouble.LATE],
    )


def need_a_look(regions: Sequence[KnownRegion]) -> tuple[tuple[Attention, ...], int]:
    """Return the regions that need a look, each by what is worst about it, and how many there are altogether.

    The worst region of each kind of trouble comes first: a thousand bad rows hide no tick that fails.
    """
    troubled = [region for region in regions if region.standing.findings]
    kinds: dict[Trouble, list[KnownRegion]] = defaultdict(list)
    for region in troubled:
        kinds[region.standing.findings[0].kind].append(region)
    first = sorted((min(kind, key=_rank) for kind in kinds.values()), key=_rank)
    named = {region.region_id for region in first}
    others = (region for region in troubled if region.region_id not in named)
    return tuple(map(_attention, (*first, *nsmallest(ATTENTION - len(first), others, key=_rank)))), len(troubled)


def next_ticks(regions: Sequence[KnownRegion], now: datetime, *, limit: int) -> tuple[NextTick, ...]:
    """Return the next tick of each region that ticks, the soonest first, at most `limit`."""
    ticks = (
        (at, region.code, region.region_id) for region in regions if (at := next_tick(region.version, now)) is not None
    )
    return tuple(NextTick(code=code, region_id=region_id, at=at) for at, code, region_id in nsmallest(limit, ticks))


def _rank(region: KnownRegion) -> tuple[int, float, str]:
    findings = region.standing.findings
    if not findings:
        return len(_TROUBLES), 0.0, region.code
    since = findings[0].since
    return _TROUBLES.index(findings[0].kind), since.timestamp() if since else 0.0, region.code


def _attention(region: KnownRegion) -> Attention:
    finding = region.standing.findings[0]
    return Attention(
        code=region.code,
        region_id=region.region_id,
        kind=finding.kind,
        text=finding.text,
        since=finding.since,
        remedy=finding.remedy,
    )


def _escaped(text: str) -> str:
    return text.replace("[", "[[]")
