"""Logs and counts the changes of CronJobs, one line each: which CronJob, which region, and who had changed what."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from region_operator.cronjobs.ownership import foreign_fields
from region_operator.kube.put import NOBODY_KNOWN, culprits
from region_operator.plan.changes import ChangeReason, Delete
from region_operator.runtime import metrics

if TYPE_CHECKING:
    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.plan.changes import Change, Write

log = logging.getLogger(__name__)

EDITS = frozenset({ChangeReason.ADDED, ChangeReason.RESCHEDULED, ChangeReason.REMOVED, ChangeReason.REPLACED})
"""The reasons that come from an edit of the table and from nothing else."""


def record(change: Change, extra: dict[str, str]) -> None:
    """Count a change that was made, and log it with the keys `extra`."""
    metrics.CHANGES.labels(change.reason).inc()
    log.info(change.reason, extra=extra)


def log_keys(change: Change) -> dict[str, str]:
    """Return the log's keys for a change."""
    if isinstance(change, Delete):
        live = change.live
        keys = {"cronjob": live.name, "region.id": live.region_id, "region.code": live.code}
        return keys | ({"successor": change.successor.desired.region.id} if change.successor else {})
    region = change.desired.region
    keys = {
        "cronjob": change.name,
        "region.id": region.id,
        "region.code": region.code,
        "cron": change.desired.schedule.source,
    }
    if change.live and change.live.schedule != keys["cron"]:
        keys["was"] = change.live.schedule
    return keys


def who_changed(write: Write, manifest: Manifest, body: Manifest | None) -> dict[str, str]:
    """Return the log's keys for who changed the CronJob that a write restores, `body` before the write."""
    if body is not None and (write.reason is ChangeReason.RESTORED or foreign_fields(manifest, body)):
        return culprits(manifest, body)
    return {"by": NOBODY_KNOWN} if write.reason is ChangeReason.RESTORED else {}
