"""Names, labels and annotations of the objects that the operator makes.

The name of a CronJob never changes. Anybody can change labels and annotations. So the operator finds the CronJob of a
region by the end of the CronJob's name, the hash of the region's id.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from region_operator.regions.region import RegionRow

APP = "region-tick"
FIELD_MANAGER = "region-operator"
REGION_LABEL = "region-tick.dev/region"
"""On a CronJob, its Jobs and pods: the first 12 hex digits of the hash of the region's id."""
ID_ANNOTATION = "region-tick.dev/id"
"""On a CronJob: the region's id."""
CODE_ANNOTATION = "region-tick.dev/code"
"""On a CronJob: the region's code."""
NAME_ANNOTATION = "region-tick.dev/name"
"""On a CronJob: the region's name."""
BBOX_ANNOTATION = "region-tick.dev/bbox"
"""On a CronJob: the region's bounding box, if the row has one."""
DIGEST_ANNOTATION = "region-tick.dev/digest"
"""On what the operator makes: the hash of the manifest, by which drift is seen."""
HANDLER_ANNOTATION = "region-tick.dev/handler"
"""On a CronJob: the handler of the region's own, if the row has one."""
TIMEOUT_ANNOTATION = "region-tick.dev/timeout"
"""On a CronJob: the timeout of the region's own, if the row has one."""
SCHEDULE_ANNOTATION = "region-tick.dev/schedule"
"""On a CronJob: the schedule as the row has it, if the row's schedule has an `H`. `spec.schedule` has fixed values."""
PAUSED_ANNOTATION = "region-tick.dev/paused"
"""On a CronJob: a person sets it to "true" to suspend the region, and removes it to resume the region."""
PAUSED_BY_ANNOTATION = "region-tick.dev/paused-by"
"""On a paused CronJob, or on a RegionScheduler whose regions are all suspended: who did that, as that person says.
Nobody checks it."""
PAUSED_REASON_ANNOTATION = "region-tick.dev/paused-reason"
"""On a paused CronJob, or on a RegionScheduler whose regions are all suspended: why, for people."""
PAUSED_SINCE_ANNOTATION = "region-tick.dev/paused-since"
"""On a paused CronJob, or on a RegionScheduler whose regions are all suspended: since when, e.g.
2026-11-30T01:05:00Z."""
PAUSED_UNTIL_ANNOTATION = "region-tick.dev/paused-until"
"""On a paused CronJob: when the operator resumes the region, as a time with its zone, e.g. 2026-11-30T01:05:00Z. The
operator then removes all annotations of the pause. Without it the region stays paused until a person resumes it."""
PAUSE_ANNOTATIONS = (
    PAUSED_ANNOTATION,
    PAUSED_BY_ANNOTATION,
    PAUSED_REASON_ANNOTATION,
    PAUSED_SINCE_ANNOTATION,
    PAUSED_UNTIL_ANNOTATION,
)
"""All annotations of a region's pause. A person or a program of a person's sets them; the operator only ends them."""
SUSPENDED_BY_ANNOTATION = "region-tick.dev/suspended-by"
"""On a suspended CronJob: a SuspendedBy. A CronJob that releases up to 0.1 suspended has none."""
OUR_LABELS = {"app": APP, "app.kubernetes.io/managed-by": FIELD_MANAGER}
"""The labels of every object that we make. `ownership` recognises our objects by these labels too."""
OUR_PREFIXES = ("app", "app.kubernetes.io/", "region-tick.dev/")
"""The prefixes of the labels and annotations that we set or obey."""
PRIORITY_CLASS = "region-tick"
QUOTA_NAME = "region-tick"
CONTAINER = "tick"

NAME_LIMIT = 52  # 63 minus "-" and ten digits of minutes in a Job's name (apis/batch/validation, ValidateCronJobCreate)
_NAME = re.compile(r"[a-z0-9-]+-(?P<key>[0-9a-f]{12})")


class SuspendedBy(StrEnum):
    """What suspends a CronJob. If several things do, the first of these counts."""

    QUARANTINE = "quarantine"
    """The region's row cannot be scheduled."""
    PAUSED = "paused"
    """A person paused the region."""
    SPEC = "spec.suspend"
    """The RegionScheduler suspends all regions."""


@lru_cache(maxsize=2**17)
def region_key(region_id: str) -> str:
    """Return the key of a region, for the CronJob's label and the CronJob's name: 12 hex digits of the id's hash."""
    return hashlib.sha256(region_id.encode()).hexdigest()[:12]


def cronjob_name(region: RegionRow) -> str:
    """Return the name for a region's new CronJob. The CronJob keeps the name, even if the region's code changes."""
    key = region_key(region.id)
    slug = re.sub(r"[^a-z0-9]+", "-", region.code.lower()).strip("-")[: NAME_LIMIT - len(key) - 1].strip("-")
    return f"{slug}-{key}" if slug else f"region-{key}"


def key_in_name(name: str) -> str | None:
    """Return the region's key at the end of a CronJob's name, or None if the name has another form than ours."""
    match = _NAME.fullmatch(name)
    return match["key"] if match else None
