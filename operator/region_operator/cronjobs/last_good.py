"""What a CronJob stays as whose row cannot be asked: the region and the schedule it was last rendered for, read back
from the CronJob itself. Pure.

That is a quarantined row, any part of which may be wrong, or one that has gone while its deletion is held. What a tick
is told stands in the CronJob as we wrote it, and rendering that again gives the same CronJob; so it is kept true like
any other, and follows a new release and an edited RegionScheduler.

Only what our own apply entry still owns is believed: what somebody has changed is not what we wrote. Most of it is
there twice, so one edit is undone. Where neither is ours any more nothing is known, and what stands for the region then
has no source, lest it be taken for its last good state afterwards
(docs/decisions/0005-last-good-state-is-in-the-cronjob.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import (
    BBOX_ANNOTATION,
    CODE_ANNOTATION,
    CONTAINER,
    HANDLER_ANNOTATION,
    ID_ANNOTATION,
    NAME_ANNOTATION,
    TIMEOUT_ANNOTATION,
)
from region_operator.cronjobs.ownership import applied_text
from region_operator.cronjobs.render import from_literal
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import Bbox, RegionRow, parse_timeout
from region_operator.regions.schedule import Schedule, parse_schedule
from region_tick.contract import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

_POD = ("f:spec", "f:jobTemplate", "f:spec", "f:template", "f:spec")
_ENVIRONMENT = (*_POD, "f:containers", f'k:{{"name":"{CONTAINER}"}}', "f:env")
_ANYTHING = "0 0 1 1 *"


def last_good(region_id: str, cronjob: Mapping[str, Any]) -> tuple[RegionRow, Schedule] | None:
    """Return what the `cronjob` of a region was last rendered for; None where that is not known any more."""
    source = _variable(cronjob, Variable.SOURCE)
    code = _either(_variable(cronjob, Variable.REGION_CODE), _annotation(cronjob, CODE_ANNOTATION))
    name = _either(_variable(cronjob, Variable.REGION_NAME), _annotation(cronjob, NAME_ANNOTATION))
    bbox = _either(_variable(cronjob, Variable.REGION_BBOX), _annotation(cronjob, BBOX_ANNOTATION))
    cron = _either(_variable(cronjob, Variable.REGION_CRON), applied_text(cronjob, ("f:spec", "f:schedule")))
    handler, timeout = _annotation(cronjob, HANDLER_ANNOTATION), _annotation(cronjob, TIMEOUT_ANNOTATION)
    there = cronjob["metadata"].get("annotations", {})
    if (handler is None and HANDLER_ANNOTATION in there) or (timeout is None and TIMEOUT_ANNOTATION in there):
        return None
    if not source or code is None or name is None or bbox is None or cron is None:
        return None
    try:
        schedule = parse_schedule(cron)
        box = Bbox.of(bbox.split(",")) if bbox else None
        own_timeout = parse_timeout(timeout)
    except ValueError:
        return None
    return RegionRow(source, region_id, code, name, box, schedule.source, handler, own_timeout), schedule


def not_known(region_id: str, code: str, cronjob: Mapping[str, Any]) -> tuple[RegionRow, Schedule]:
    """Return what stands for a region whose last good state is not known; its CronJob is to be suspended."""
    try:
        schedule = parse_schedule(cronjob["spec"]["schedule"])
    except ScheduleError:
        schedule = parse_schedule(_ANYTHING)
    return RegionRow("", region_id, code or region_id, "", None, schedule.source), schedule


def holder(cronjob: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the code that a CronJob ticks for, and the id of its region; None where that is not known any more."""
    code, region_id = _annotation(cronjob, CODE_ANNOTATION), _annotation(cronjob, ID_ANNOTATION)
    return (code, region_id) if code and region_id and _variable(cronjob, Variable.SOURCE) else None


def _variable(cronjob: Mapping[str, Any], variable: Variable) -> str | None:
    text = applied_text(cronjob, (*_ENVIRONMENT, f'k:{{"name":"{variable}"}}', "f:value"))
    return None if text is None else from_literal(text)


def _annotation(cronjob: Mapping[str, Any], annotation: str) -> str | None:
    return applied_text(cronjob, ("f:metadata", "f:annotations", f"f:{annotation}"))


def _either(first: str | None, second: str | None) -> str | None:
    return second if first is None else first
