"""Names, labels and annotations of the objects that the operator makes.

A name never changes once its CronJob is made. Labels and annotations can be changed by anybody, so a CronJob is found
again by the hash of its region's id, with which its name ends.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from region_operator.regions.region import RegionRow

APP = "region-tick"
FIELD_MANAGER = "region-operator"
REGION_LABEL = "region-tick.dev/region"
ID_ANNOTATION = "region-tick.dev/id"
CODE_ANNOTATION = "region-tick.dev/code"
NAME_ANNOTATION = "region-tick.dev/name"
BBOX_ANNOTATION = "region-tick.dev/bbox"
DIGEST_ANNOTATION = "region-tick.dev/digest"
HANDLER_ANNOTATION = "region-tick.dev/handler"
TIMEOUT_ANNOTATION = "region-tick.dev/timeout"
"""There where the region's row has a handler or timeout of its own."""
PAUSED_ANNOTATION = "region-tick.dev/paused"
"""Set to "true" by a person: this region is to stay suspended until it is taken off."""
MARKS = {"app": APP, "app.kubernetes.io/managed-by": FIELD_MANAGER}
"""The labels that all we make has in common."""
PRIORITY_CLASS = "region-tick"
QUOTA_NAME = "region-tick"
CONTAINER = "tick"

NAME_LIMIT = 52  # 63 less "-" and ten digits of minutes (apis/batch/validation, ValidateCronJobCreate)
_NAME = re.compile(r"[a-z0-9-]+-(?P<key>[0-9a-f]{12})")


def region_key(region_id: str) -> str:
    """Return what a region's CronJob is found again by, as a label and in its name: 12 hex digits of the id's hash."""
    return hashlib.sha256(region_id.encode()).hexdigest()[:12]


def cronjob_name(region: RegionRow) -> str:
    """Return the name that a region's CronJob gets when it is made; it is kept although the code may change later."""
    key = region_key(region.id)
    slug = re.sub(r"[^a-z0-9]+", "-", region.code.lower()).strip("-")[: NAME_LIMIT - len(key) - 1].strip("-")
    return f"{slug}-{key}" if slug else f"region-{key}"


def key_in_name(name: str) -> str | None:
    """Return the key of the region whose CronJob may have such a name; None for a name that we give to none."""
    match = _NAME.fullmatch(name)
    return match["key"] if match else None
