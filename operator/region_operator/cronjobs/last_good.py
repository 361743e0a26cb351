"""Reads a region's last good state back from the region's CronJob. Pure.

The last good state is needed if the region's row cannot be used: the row is quarantined and any part may be wrong, or
the row is gone while the deletion of the CronJob is held. The CronJob holds everything that a tick is told. Rendering
the state again gives the same CronJob. So the CronJob stays in sync like every other CronJob, and follows a new release
and an edited RegionScheduler.

The module relies only on fields that our own apply entry still owns: a field that somebody changed is not what we
wrote. Most values are in the CronJob twice, so a single edit is undone. If both copies were changed, the last good
state is unknown. A placeholder then stands for the region. The placeholder has no source, so that nobody can take the
placeholder for a last good state later (docs/decisions/0005-last-good-state-is-in-the-cronjob.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import (
    BBOX_ANNOTATION,
    CODE_ANNOTATION,
    CONTAINER,
    HANDLER_ANNOTATION,
    ID_ANNOTATION,
    NAME_ANNOTATION,
    SCHEDULE_ANNOTATION,
    TIMEOUT_ANNOTATION,
)
from region_operator.cronjobs.ownership import applied_text
from region_operator.cronjobs.pod_spec import unescape_dollars
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Bbox, RegionRow, parse_timeout
from region_operator.regions.schedule import Schedule, parse_schedule
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

_POD = ("f:spec", "f:jobTemplate", "f:spec", "f:template", "f:spec")
_ENVIRONMENT = (*_POD, "f:containers", f'k:{{"name":"{CONTAINER}"}}', "f:env")
_ANY_SCHEDULE = "0 0 1 1 *"


def last_good(region_id: str, cronjob: Mapping[str, Any]) -> tuple[RegionRow, Schedule] | None:
    """Return the region and the schedule for which `cronjob` was last rendered, or None if they are unknown."""
    source = _variable(cronjob, Variable.SOURCE)
    code = _first_known(_variable(cronjob, Variable.REGION_CODE), _annotation(cronjob, CODE_ANNOTATION))
    name = _first_known(_variable(cronjob, Variable.REGION_NAME), _annotation(cronjob, NAME_ANNOTATION))
    bbox = _first_known(_variable(cronjob, Variable.REGION_BBOX), _annotation(cronjob, BBOX_ANNOTATION))
    cron = _first_known(_variable(cronjob, Variable.REGION_CRON), applied_text(cronjob, ("f:spec", "f:schedule")))
    handler, timeout = _annotation(cronjob, HANDLER_ANNOTATION), _annotation(cronjob, TIMEOUT_ANNOTATION)
    annotations = cronjob["metadata"].get("annotations", {})
    if (handler is None and HANDLER_ANNOTATION in annotations) or (
        timeout is None and TIMEOUT_ANNOTATION in annotations
    ):
        return None
    if not source or code is None or name is None or bbox is None or cron is None:
        return None
    try:
        schedule = parse_schedule(cron)
        schedule = replace(schedule, written=_annotation(cronjob, SCHEDULE_ANNOTATION) or schedule.source)
        box = Bbox.from_corners(bbox.split(",")) if bbox else None
        own_timeout = parse_timeout(timeout)
    except ValueError:
        return None
    return RegionRow(source, region_id, code, name, box, schedule.written, handler, own_timeout), schedule


def placeholder(region_id: str, code: str, cronjob: Mapping[str, Any]) -> tuple[RegionRow, Schedule]:
    """Return a region and a schedule to render if the last good state is unknown. The CronJob must be suspended."""
    try:
        schedule = parse_schedule(cronjob["spec"]["schedule"])
    except ScheduleError:
        schedule = parse_schedule(_ANY_SCHEDULE)
    return RegionRow("", region_id, code or region_id, "", None, schedule.source), schedule


def ticking_region(cronjob: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the code and the id of the region that a CronJob ticks for, or None if they are unknown."""
    code, region_id = _annotation(cronjob, CODE_ANNOTATION), _annotation(cronjob, ID_ANNOTATION)
    return (code, region_id) if code and region_id and _variable(cronjob, Variable.SOURCE) else None


def _variable(cronjob: Mapping[str, Any], variable: Variable) -> str | None:
    text = applied_text(cronjob, (*_ENVIRONMENT, f'k:{{"name":"{variable}"}}', "f:value"))
    return None if text is None else unescape_dollars(text)


def _annotation(cronjob: Mapping[str, Any], annotation: str) -> str | None:
    return applied_text(cronjob, ("f:metadata", "f:annotations", f"f:{annotation}"))


def _first_known(first: str | None, second: str | None) -> str | None:
    return second if first is None else first
