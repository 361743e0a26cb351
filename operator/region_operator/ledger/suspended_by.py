"""Tells people what suspended a CronJob, and who, as far as the CronJob shows. Pure.

The text goes into `suspended_by` of region_schedule and of suspension. Nothing is decided by the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from region_operator.cronjobs.labels import FIELD_MANAGER, PAUSED_ANNOTATION, PAUSED_BY_ANNOTATION, SuspendedBy
from region_operator.cronjobs.ownership import last_entry
from region_operator.regions.row_values import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from region_operator.cronjobs.live import LiveCronJob


def suspended_by(live: LiveCronJob) -> str:
    """Return what suspended a suspended CronJob.

    The result is one of `spec.suspend` (the RegionScheduler suspends all regions, whether by this field or by
    spec.suspendUntil), `quarantined`, `paused by NAME` (the annotation's name, which nobody checks, or else the manager
    who wrote the pause) and `edited by MANAGER` (somebody else set the field).
    """
    meta = msgspec.json.decode(live.body)["metadata"] if live.body else {}
    entries = meta.get("managedFields", [])
    if live.paused:
        manager = _owner(entries, "f:metadata", "f:annotations", f"f:{PAUSED_ANNOTATION}")
        return f"paused by {printable(meta.get('annotations', {}).get(PAUSED_BY_ANNOTATION, '')) or manager}"
    if live.suspended_by == SuspendedBy.SPEC:
        return SuspendedBy.SPEC.value
    if live.body is None and live.applied and live.applied.below("spec", "suspend"):
        return "quarantined"  # nobody else has a hand in the CronJob
    owner = _owner(entries, "f:spec", "f:suspend")
    return "quarantined" if owner == FIELD_MANAGER else f"edited by {owner}"


def _owner(entries: Iterable[Mapping[str, Any]], *path: str) -> str:
    """Return the manager who last wrote a field, by a path of FieldsV1."""
    entry = last_entry(entries, *path)
    return str(entry["manager"]) if entry else "somebody"
