"""Compares one CronJob with what it should be, and says what to write and why. Pure.

What the CronJob should be is left to `plan`, and what "in sync" means to `ownership`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from region_operator.cronjobs.labels import DIGEST_ANNOTATION, SuspendedBy, cronjob_name, region_key
from region_operator.cronjobs.last_good import last_good, placeholder
from region_operator.cronjobs.ownership import foreign_fields, has_additions, owns_all
from region_operator.plan.changes import ChangeReason, Desired, Render, Write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.cronjobs.manifest_parts import Manifest


def write_for(desired: Desired, live: LiveCronJob | None, render: Render) -> Write | None:
    """Return the write that a region's CronJob needs. None: in sync, or terminating."""
    if live is None:
        return Write(ChangeReason.ADDED, desired, cronjob_name(desired.region))
    if live.paused:
        desired = replace(desired, suspended_by=desired.suspended_by or SuspendedBy.PAUSED)
    if live.terminating:
        return None
    manifest = render(desired, live.name)
    body = None if live.body is None else msgspec.json.decode(live.body)
    if _in_sync(manifest, live, body) and not live.pause_over:
        return None
    others = () if body is None else tuple(sorted({other.manager for other in foreign_fields(manifest, body)}))
    return Write(_reason(desired, manifest, live), desired, live.name, live, changed_by=others)


def _in_sync(manifest: Manifest, live: LiveCronJob, body: Mapping[str, Any] | None) -> bool:
    return (
        _has_digest(manifest, live)
        and owns_all(live.applied, manifest)
        and not (body is not None and has_additions(manifest, body))
    )


def _has_digest(manifest: Manifest, live: LiveCronJob) -> bool:
    return bool(manifest["metadata"]["annotations"][DIGEST_ANNOTATION] == live.digest)


def _reason(desired: Desired, manifest: Manifest, live: LiveCronJob) -> ChangeReason:
    if _has_digest(manifest, live):
        return ChangeReason.UPDATED if live.pause_over else ChangeReason.RESTORED
    suspend = manifest["spec"]["suspend"]
    if suspend and not live.suspended:
        return ChangeReason.PAUSED if live.paused else ChangeReason.SUSPENDED
    if live.suspended and not suspend:
        return ChangeReason.RESUMED
    return ChangeReason.UPDATED if live.schedule == desired.schedule.source else ChangeReason.RESCHEDULED


def write_last_good(live: LiveCronJob, render: Render) -> Write | None:
    """Return what to write while the deletion of a CronJob is held. None: there is nothing to write.

    A CronJob whose last good state is unknown is left alone, unless all CronJobs are suspended.
    """
    if region_key(live.region_id) != live.key:
        return None
    good = last_good(live.region_id, live)
    desired = Desired(*(good or placeholder(live.region_id, live.code, live)))
    write = write_for(desired, live, render)
    return write if write and (good or _suspends(desired, live, render)) else None


def _suspends(desired: Desired, live: LiveCronJob, render: Render) -> bool:
    return bool(live.paused or render(desired, live.name)["spec"]["suspend"])
