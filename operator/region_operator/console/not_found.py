"""Says why there is no such region or tick, and where to look. Pure.

Pages and plugin show these texts, so they name the plugin's commands, and no parameter of an address.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from region_operator.console.tick_times import next_of, parse
from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.row_values import printable
from region_operator.scheduler import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from region_operator.console.standing import Version

_MINUTE = timedelta(minutes=1)
_ITS_TICKS = "kubectl region runs, or the region's page, lists its latest ticks"
_FORGOTTEN = "it was expected: the ledger has forgotten that day (RETENTION_DAYS), or somebody deleted its row"
_BY_HAND = "a run by hand is found by its uid too: kubectl region why CODE TICK --manual UID, or its link on that page"


class NotFoundError(Exception):
    """There is no such region or tick. `remedy` says where to look."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def no_region(code: str, source: str) -> NotFoundError:
    """Say that no region has a code, nor had it as far as the ledger goes back."""
    return NotFoundError(
        f"there is no region with the code {printable(code)!r} in {source}",
        "look for it in the list of regions: kubectl region list. A row that is not active, and that never ticked, is"
        " not there; a region that is gone is known for as long as the ledger keeps its ticks (RETENTION_DAYS)",
    )


def renamed(code: str, source: str, new_code: str) -> NotFoundError:
    """Say that the region that had a code has another one now."""
    return NotFoundError(
        f"no region in {source} has the code {printable(code)!r} now: the region that had it has the code"
        f" {printable(new_code)!r}",
        f"ask for {printable(new_code)!r}: the ticks that it had with its former code are there, too",
    )


def no_run(code: str, at: datetime, manual_uid: str) -> NotFoundError:
    """Say that a manual run has no row."""
    message = f"the ledger has no manual run {printable(manual_uid)!r} of {code} at {format_time(at)}"
    return NotFoundError(message, f"{_ITS_TICKS} and runs, with -o wide the uids too")


def no_tick(
    code: str, at: datetime, now: datetime, *, version: Version | None, counted_until: datetime | None
) -> NotFoundError:
    """Say why a tick has no row: its time is to come, it never was, nobody has judged it yet, or not any more.

    `version` is the schedule that was in force then; None: none was, or none is on record. `counted_until` is up to
    when the region's ticks are counted; None: nobody counts them.
    """
    message = f"the ledger has no tick of {code} at {format_time(at)}"
    if at > now:
        return NotFoundError(message, "that time is still to come")
    if version is None:
        return NotFoundError(message, f"no schedule of that time is on record: {_ITS_TICKS}; {_BY_HAND}")
    if not _is_due(version.cron, at):
        remedy = f"the schedule was {version.cron} then, which has no tick at that time: {_ITS_TICKS}; {_BY_HAND}"
        return NotFoundError(message, remedy)
    if counted_until is None:
        return NotFoundError(message, "it was expected, and no operator counts ticks: kubectl region doctor says why")
    if at <= counted_until:
        return NotFoundError(message, _FORGOTTEN)
    so_far = f"it was expected, and is not counted yet: the ledger has come to {format_time(counted_until)}"
    if version.suspended:
        soon = (
            "the region was suspended then: such ticks are counted within an hour, and within minutes after the region"
            " is resumed, and can be run again only then"
        )
    else:
        soon = "a tick is counted within minutes after it could have come"
    stuck = "if that time does not go on, kubectl region status, or the overview, says why"
    return NotFoundError(f"{message} yet", f"{so_far}. Look again later: {soon}; {stuck}")


def _is_due(cron: str, at: datetime) -> bool:
    try:
        return next_of(parse(cron), at - _MINUTE) == at
    except ScheduleError:  # somebody else wrote the schedule into the CronJob
        return False
