"""What the guards hold, as a RegionScheduler's status has it. Pure.

The names of the fields and conditions are the operator's; a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = {
    "deletion": ("heldDeletions", "DeletionsHeld"),
    "quarantine": ("heldQuarantines", "QuarantinesHeld"),
    "slowdown": ("heldSlowdowns", "SlowdownsHeld"),
    "speedup": ("heldSpeedups", "SpeedupsHeld"),
    "creation": ("heldCreations", "CreationsHeld"),
}
"""The field of the status and the condition of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Changes of one kind that are held. `regions` are the keys of the regions, `text` is the condition's message."""

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
            regions=tuple(held["regions"].split()),
            text=texts.get(condition, ""),
        )
        for kind, (name, condition) in KINDS.items()
        if (held := status.get(name))
    ]
