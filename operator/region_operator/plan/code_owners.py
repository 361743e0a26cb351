"""Finds the regions that must wait for their code, because a CronJob of another region still ticks for it. Pure.

Work that is done for a code must not be done twice. So a code belongs to the CronJob that has it, until that CronJob
gets another code or goes. A region gets a code, as a new region or by a rename, when no CronJob of another region keeps
the code. A CronJob gives its code up in the same plan if its region is renamed and need not wait itself. So two regions
may swap their codes, and a chain of renames behind one that waits waits as a whole.

A region whose row is quarantined, or gone, keeps the code of its CronJob. What follows for a region that waits is left
to `plan`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from region_operator.regions.cron_field import ScheduleError
from region_operator.regions.region import RegionRow
from region_operator.regions.schedule import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.regions.region import Quarantined

Owners = tuple["LiveCronJob", ...]
"""The CronJobs that have a code."""


def find_code_owners(
    rows: Mapping[str, RegionRow | Quarantined | None], lives: Mapping[str, Sequence[LiveCronJob]]
) -> dict[str, Owners]:
    """Return, for each region that must wait for its code, the CronJobs that have the code.

    Both arguments are by region key, `lives` with the CronJob to keep first.
    """
    wanted = {
        key: row.code for key, row in rows.items() if isinstance(row, RegionRow) and row.code != _code(lives.get(key))
    }
    if not wanted:
        return {}
    owners, wanting = _by_code(lives), _invert(wanted)
    moving = {key for key in wanted if key in lives and _can_move(rows[key])}
    waiting: dict[str, Owners] = {}
    to_check = list(wanted)
    while to_check:
        key = to_check.pop()
        keeping = [other for other in owners.get(wanted[key], ()) if other != key and other not in moving]
        if not keeping:
            continue
        waiting[key] = tuple(lives[other][0] for other in keeping)
        if key in moving:
            moving.remove(key)
            to_check += wanting.get(_code(lives[key]), ())
    return waiting


def _code(lives: Sequence[LiveCronJob] | None) -> str:
    """Return the code for which a region ticks, "" if the region does not tick."""
    return lives[0].told_code or lives[0].code if lives else ""


def _by_code(lives: Mapping[str, Sequence[LiveCronJob]]) -> dict[str, list[str]]:
    return _invert({key: _code(of_region) for key, of_region in lives.items() if not of_region[0].terminating})


def _invert(codes: Mapping[str, str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for key, code in codes.items():
        keys[code].append(key)
    return keys


def _can_move(row: RegionRow | Quarantined | None) -> bool:
    """Tell whether a region's CronJob follows the row: not if the schedule is invalid."""
    try:
        return isinstance(row, RegionRow) and bool(parse_schedule(row.cron_schedule, code=row.code))
    except ScheduleError:
        return False
