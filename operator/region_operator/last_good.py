"""What a quarantined region's CronJob stays as: the region and the schedule it was last rendered for, read back from
the CronJob itself. Pure.

The row cannot be asked any more: any part of it may be wrong. What a tick is told stands in the CronJob as we wrote it,
and rendering that again gives the same CronJob; so a quarantined region's is kept true like any other, and follows a
new release and an edited RegionScheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.cronjob import CONTAINER, HANDLER_ANNOTATION, TIMEOUT_ANNOTATION, from_literal
from region_operator.region import Bbox, Region, parse_timeout
from region_operator.schedule import Schedule, ScheduleError, parse_schedule
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from region_operator.region import Quarantined


def last_good(row: Quarantined, cronjob: Mapping[str, Any]) -> tuple[Region, Schedule] | None:
    """Return what the `cronjob` of a quarantined row was last rendered for; None where it no longer says when."""
    told = _environment(cronjob)
    schedule = _first_valid(told.get(Variable.REGION_CRON, ""), cronjob["spec"]["schedule"])
    if schedule is None:
        return None
    of_its_own = cronjob["metadata"].get("annotations", {})
    region = Region(
        source=told.get(Variable.SOURCE, ""),
        id=row.id,
        code=told.get(Variable.REGION_CODE) or row.code or row.id,
        name=told.get(Variable.REGION_NAME, ""),
        bbox=_bbox(told.get(Variable.REGION_BBOX, "")),
        cron_schedule=schedule.source,
        handler=of_its_own.get(HANDLER_ANNOTATION),
        timeout=_timeout(of_its_own.get(TIMEOUT_ANNOTATION)),
    )
    return region, schedule


def _environment(cronjob: Mapping[str, Any]) -> dict[str, str]:
    containers = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    items = (item for container in containers if container["name"] == CONTAINER for item in container.get("env", []))
    return {item["name"]: from_literal(item.get("value", "")) for item in items}


def _first_valid(*texts: str) -> Schedule | None:
    """Somebody may have edited the one or the other."""
    for text in texts:
        try:
            return parse_schedule(text)
        except ScheduleError:
            continue
    return None


def _timeout(text: str | None) -> timedelta | None:
    try:
        return parse_timeout(text)
    except ValueError:
        return None


def _bbox(text: str) -> Bbox | None:
    corners = text.split(",")
    try:
        return Bbox.of(corners) if len(corners) == 4 else None
    except ValueError:
        return None
