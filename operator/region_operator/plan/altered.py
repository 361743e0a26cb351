"""Says which CronJobs an admission policy changed as they were written. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import DIGEST_ANNOTATION
from region_operator.regions.region import MAX_NAMED_REGIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from region_operator.cronjobs.live import LiveCronJob


def explain_altered(cronjobs: Iterable[LiveCronJob]) -> str:
    """Say how many of the CronJobs a policy altered, name the first ones, and say what to do. "": no CronJob.

    CronJobs of release 0.1 name no installation and are not judged: they do not say what suspends them.
    """
    judged = (live for live in cronjobs if live.told_installation and not live.terminating)
    altered = sorted((live.code, live.name, live.altered) for live in judged if live.altered)
    if not altered:
        return ""
    named = "; ".join(f"{code or name}: {what}" for code, name, what in islice(altered, MAX_NAMED_REGIONS))
    rest = len(altered) - MAX_NAMED_REGIONS
    more = f"; and {rest} more" if rest > 0 else ""
    return (
        f"{len(altered)} CronJobs are not as the operator wrote them, because an admission policy or webhook changed "
        f"the write: exempt this namespace from it, then take the annotation {DIGEST_ANNOTATION} off the CronJobs, so "
        f"that they are written again ({named}{more})"
    )
