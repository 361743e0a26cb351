"""Reads a region's last good state back from the region's CronJob. Pure.

The last good state is needed if the region's row cannot be used: the row is quarantined and any part may be wrong, or
the row is gone while the deletion of the CronJob is held. The CronJob holds everything that a tick is told. Rendering
the state again gives the same CronJob. So the CronJob stays in sync like every other CronJob, and follows a new release
and an edited RegionScheduler.

Which texts of a CronJob can be relied on is left to `rendered`. If a text is unknown, the last good state is unknown. A
placeholder then stands for the region. The placeholder has no source, so that nobody can take the placeholder for a
last good state later (docs/decisions/0005-last-good-state-is-in-the-cronjob.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import RegionRow
from region_operator.regions.row_values import Bbox, parse_timeout
from region_operator.regions.schedule import Schedule, parse_schedule

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob

_ANY_SCHEDULE = "0 0 1 1 *"


def last_good(region_id: str, live: LiveCronJob) -> tuple[RegionRow, Schedule] | None:
    """Return the region and the schedule for which a CronJob was last rendered, or None if they are unknown."""
    texts = live.rendered
    source, code, name, bbox, cron = texts.source, texts.code, texts.name, texts.bbox, texts.cron
    if not source or code is None or name is None or bbox is None or cron is None:
        return None
    if texts.handler is None or texts.timeout is None or texts.params is None:
        return None
    try:
        schedule = parse_schedule(cron)
        schedule = replace(schedule, written=texts.written or schedule.source)
        box = Bbox.from_corners(bbox.split(",")) if bbox else None
        timeout = parse_timeout(texts.timeout or None)
    except ValueError:
        return None
    region = RegionRow(
        source, region_id, code, name, box, schedule.written, texts.handler or None, timeout, texts.params or None
    )
    return region, schedule


def placeholder(region_id: str, code: str, live: LiveCronJob) -> tuple[RegionRow, Schedule]:
    """Return a region and a schedule to render if the last good state is unknown. The CronJob must be suspended."""
    try:
        schedule = parse_schedule(live.schedule)
    except ScheduleError:
        schedule = parse_schedule(_ANY_SCHEDULE)
    return RegionRow("", region_id, code or region_id, "", None, schedule.source), schedule
