"""What the guards hold, as a RegionScheduler's status has it. Pure.

The names of the fields and conditions are the operator's; a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = {
    "deletion": ("heldDeletions", "releasedDeletions", "DeletionsHeld"),
    "quarantine": ("heldQuarantines", "releasedQuarantines", "QuarantinesHeld"),
    "slowdown": ("heldSlowdowns", "releasedSlowdowns", "SlowdownsHeld"),
    "speedup": ("heldSpeedups", "releasedSpeedups", "SpeedupsHeld"),
    "creation": ("heldCreations", "releasedCreations", "CreationsHeld"),
}
"""Of each kind: the fields of the status with what is held and with what is held no longer, and the condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Changes of one kind that are held.

    `regions` are the keys of the regions that are held still: the approval is of these, also if the hold had more once.
    `text` is the condition's message.
    """

    kind: str
    since: str
    approval: str
    regions: tuple[str, ...]
    text: str


def holds_of(scheduler: Mapping[str, Any]) -> list[Hold]:
    """Return what is held, from a RegionScheduler as the API server has it."""
    status = scheduler.get("status", {})
    texts = {condition["type"]: condition["message"] for condition in status.get("conditions", [])}
    return [
        Hold(
            kind=kind,
            since=held["since"],
            approval=held["approval"],
            regions=_still_held(held, status.get(released, {})),
            text=texts.get(condition, ""),
        )
        for kind, (name, released, condition) in KINDS.items()
        if (held := status.get(name))
    ]


def _still_held(held: Mapping[str, str], released: Mapping[str, str]) -> tuple[str, ...]:
    """Return the regions of a hold without those that are released.

    An older operator leaves what is released of a former hold in the status: that has another approval.
    """
    gone = set(released["regions"].split()) if released.get("approval") == held["approval"] else set()
    return tuple(key for key in held["regions"].split() if key not in gone)
