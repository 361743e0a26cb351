"""What the guards remember from one reconcile to the next, in the RegionScheduler's status and nowhere else. Pure.

Regions are named by their keys: docs/decisions/0006-approval-of-held-deletions.md. What the guards conclude from their
memory is left to `deletion_guard` and `growth_guard`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from region_operator.plan.changes import Guarded
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

RegionKeys = frozenset[str]
"""Regions, each by the hash of the region's id: the value of the CronJob's region label."""

NONE: RegionKeys = frozenset()

_HELD = {kind: f"held{kind.value.capitalize()}s" for kind in Guarded}
_RELEASED = {kind: f"released{kind.value.capitalize()}s" for kind in Guarded}
"""Fields of their own: a merge patch keeps what an object within the status does not have any more."""
_APPROVED = {kind: f"approved{kind.value.capitalize()}s" for kind in Guarded}
STATUS_FIELDS = (
    "recentDeletions",
    *_HELD.values(),
    *_RELEASED.values(),
    *_APPROVED.values(),
    "filling",
    "unknownBefore",
)
"""The fields of a RegionScheduler's status that hold the GuardState."""
_DECIDED = ("regions", *STATUS_FIELDS)
"""The fields of which a status has one after the guards have decided and a reconcile was completed, or before that."""


@dataclass(frozen=True, slots=True)
class RecentStop:
    """The regions that the guard let stop ticking at one moment (UTC, whole seconds)."""

    at: datetime
    regions: RegionKeys
    kind: Guarded = Guarded.DELETION


@dataclass(frozen=True, slots=True)
class Hold:
    """The regions whose change of one kind is held, and since when (UTC, whole seconds).

    `regions` are those that were held when the hold began, and the hold lasts until none of them is to be changed. Of
    these, the `released` are held no longer, and the approval is of the others. Equal holds have the same approval.
    """

    since: datetime
    regions: RegionKeys
    kind: Guarded = Guarded.DELETION
    released: RegionKeys = field(default=NONE, compare=False)

    @property
    def held(self) -> RegionKeys:
        """The regions whose change is held now."""
        return self.regions - self.released

    @property
    def approval(self) -> str:
        """The text that approves the changes that are `held`. It stays the same while the hold shrinks."""
        text = f"{self.kind} {format_time(self.since)} {_join(self.regions)}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class GuardState:
    """What the guards remember.

    `recent` holds the counted stops, oldest first. `holds` and `approved` are by kind, without empty entries;
    `approved` holds the regions whose approved change is not made yet. `filling` says that more creations were let
    through than are made yet. `unknown_before` is when a RegionScheduler found CronJobs of one before it, whose stops
    nobody knows any more (UTC, whole seconds); None if all stops of the last day are known.
    """

    recent: tuple[RecentStop, ...] = ()
    holds: Mapping[Guarded, Hold] = field(default_factory=dict)
    approved: Mapping[Guarded, RegionKeys] = field(default_factory=dict)
    filling: bool = False
    unknown_before: datetime | None = None

    def is_approved(self, kind: Guarded, approval: str) -> RegionKeys:
        """Return the regions whose change of a kind is approved, by now or by the text `approval`.

        The text holds the approvals of one or more holds, separated by commas.
        """
        hold = self.holds.get(kind)
        by_now = self.approved.get(kind, NONE)
        approvals = map(str.strip, approval.split(","))
        return by_now | hold.held if hold and hold.approval in approvals else by_now

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Self:
        """Read what `to_status` wrote. A stop without a kind is a deletion, of an older release."""
        return cls(
            recent=tuple(
                RecentStop(
                    datetime.fromisoformat(item["at"]), _split(item["regions"]), Guarded(item.get("kind", "deletion"))
                )
                for item in status.get("recentDeletions", [])
            ),
            holds={kind: _read_hold(status, kind) for kind, name in _HELD.items() if name in status},
            approved={kind: _split(status[name]) for kind, name in _APPROVED.items() if name in status},
            filling=status.get("filling", False),
            unknown_before=datetime.fromisoformat(status["unknownBefore"]) if "unknownBefore" in status else None,
        )

    def to_status(self) -> dict[str, Any]:
        """Return the STATUS_FIELDS, without the empty fields."""
        status: dict[str, Any] = {}
        if self.recent:
            status["recentDeletions"] = [
                {"at": format_time(item.at), "kind": item.kind.value, "regions": _join(item.regions)}
                for item in self.recent
            ]
        for kind, hold in self.holds.items():
            status[_HELD[kind]] = {
                "since": format_time(hold.since),
                "approval": hold.approval,
                "regions": _join(hold.regions),
            }
            if hold.released:
                status[_RELEASED[kind]] = {"approval": hold.approval, "regions": _join(hold.released)}
        status |= {_APPROVED[kind]: _join(regions) for kind, regions in self.approved.items() if regions}
        unknown = {"unknownBefore": format_time(self.unknown_before)} if self.unknown_before else {}
        return status | unknown | ({"filling": True} if self.filling else {})


def _read_hold(status: Mapping[str, Any], kind: Guarded) -> Hold:
    found = status[_HELD[kind]]
    hold = Hold(datetime.fromisoformat(found["since"]), _split(found["regions"]), kind)
    released = status.get(_RELEASED[kind], {"approval": "", "regions": ""})
    return replace(hold, released=_split(released["regions"])) if released["approval"] == hold.approval else hold


def is_remembered(status: Mapping[str, Any]) -> bool:
    """Tell whether the guards have decided for this RegionScheduler before. Without stops, a guard writes nothing."""
    return any(name in status for name in _DECIDED)


def update_hold(hold: Hold | None, held: RegionKeys, kind: Guarded, now: datetime) -> Hold | None:
    """Return the hold of the `held` regions: the present hold, or a new hold if a region joins.

    A row that comes back keeps the hold's approval valid: a person may be about to write the approval. If the row goes
    again, its region joins: the person may not have seen it.
    """
    if not held:
        return None
    if hold is None or not held <= hold.held:
        return Hold(now, held, kind)
    return replace(hold, released=hold.regions - held)


T = TypeVar("T", RegionKeys, Hold)


def put(entries: Mapping[Guarded, T], kind: Guarded, value: T | None) -> dict[Guarded, T]:
    """Return the entries with another value for a kind, without the kind if the value is empty."""
    others = {other: entry for other, entry in entries.items() if other is not kind}
    return others | ({kind: value} if value else {})


def _join(regions: RegionKeys) -> str:
    return " ".join(sorted(regions))


def _split(text: str) -> RegionKeys:
    return frozenset(text.split())
