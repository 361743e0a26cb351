"""What is wrong in a history of random faults: pure, so that violations can be planted and found by hand.

What the operator promises is said here anew, not taken from its code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import region_key
from region_tick.contract import OF_RERUNS, Variable
from tests.faults.checker_errors import errors
from tests.faults.checker_writes import writes
from tests.faults.course import BAD_SCHEDULES, WINDOW_SECONDS
from tests.faults.history import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.faults.course import Row, Table
    from tests.faults.history import History, Write

IDLE_SECONDS = 2.0
"""How long after cluster and table were found equal the last write may come: the status is written last."""

FORGOTTEN_SECONDS = (WINDOW_SECONDS - 5, WINDOW_SECONDS + 10)
"""How long after a deletion was asked for the status may cease to tell of it: a reconcile notes it before, and the
first one after the guard's window forgets it.
"""

USED_UP_SECONDS = 10
"""How long after an approved deletion the status may still tell of the approval: until the next reconcile, after a
refreshInterval of 5 s.
"""

LABELS = {
    "app": "region-tick",
    "app.kubernetes.io/managed-by": "region-operator",
    "app.kubernetes.io/name": "region-tick",
    "app.kubernetes.io/component": "tick",
}


def check(history: History) -> list[Violation]:
    """Return all that is wrong, the earliest first."""
    found = [*_not_equal(history), *_not_idle(history), *writes(history), *errors(history)]
    return sorted(found, key=lambda violation: violation.at)


def differences(table: Table, cronjobs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say where the CronJobs of a namespace, all of them, are not what the table says."""
    rows = {region_key(row.id): row for row in table.values() if row.active}
    found: dict[str, Mapping[str, Any]] = {}
    wrong = []
    for cronjob in cronjobs:
        name = cronjob["metadata"]["name"]
        key = name[-12:]
        if key not in rows:
            wrong.append(f"CronJob {name} is of no active row")
        elif key in found:
            wrong.append(f"CronJob {name} is a second one of region {rows[key].code}")
        else:
            found[key] = cronjob
            wrong += [f"CronJob {name} of region {rows[key].code}: {what}" for what in _differs(rows[key], cronjob)]
    missing = [row.code for key, row in rows.items() if key not in found and row.cron not in BAD_SCHEDULES]
    return wrong + [f"region {code} has no CronJob" for code in missing]


def _differs(row: Row, cronjob: Mapping[str, Any]) -> Iterator[str]:
    meta, spec = cronjob["metadata"], cronjob["spec"]
    quarantined = row.cron in BAD_SCHEDULES
    labels = LABELS | {"region-tick.dev/region": region_key(row.id)}
    is_now = {key: meta.get("labels", {}).get(key) for key in labels}
    if is_now != labels:
        yield f"its labels are {is_now}"
    if spec.get("suspend", False) is not quarantined:
        yield f"suspend is {spec.get('suspend')}"
    if spec["timeZone"] != "UTC":
        yield f"its time zone is {spec['timeZone']}"
    if not quarantined and spec["schedule"] != row.cron:
        yield f"its schedule is {spec['schedule']!r} instead of {row.cron!r}"
    if not quarantined and meta["annotations"].get("region-tick.dev/code") != row.code:
        yield f"its code is {meta['annotations'].get('region-tick.dev/code')!r}"
    containers = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    names = [variable["name"] for container in containers for variable in container["env"]]
    if sorted(names) != sorted(set(Variable) - set(OF_RERUNS)):
        yield f"its variables are {names}"


def _not_equal(history: History) -> Iterator[Violation]:
    last = history.table[-1]
    for difference in differences(last.rows, history.cronjobs):
        yield Violation(math.inf, f"at the end: {difference}")
    status = history.scheduler.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    conditions.pop("Overcommitted", None)  # true of many regions, and no fault of the operator's
    if conditions.keys() != {"Ready"} or conditions["Ready"]["status"] != "True":
        yield Violation(math.inf, f"at the end the conditions are {list(conditions.values())}")
    active = sum(row.active for row in last.rows.values())
    if status.get("regions", {}).get("active") != active:
        yield Violation(math.inf, f"at the end the status counts {status.get('regions')}, and {active} are active")


def _not_idle(history: History) -> Iterator[Violation]:
    """Find writes when nothing was to be done any more, or that such a time never came. Ticks that wait are hurried at
    all times, and the guard forgets when its window is over.
    """
    if history.quiet is None:
        yield Violation(
            math.inf, "cluster and table never became equal, with one leader and the others ready to follow"
        )
        return
    since, until = history.quiet
    for write in history.writes:
        late = since + IDLE_SECONDS < write.received < until
        if late and write.by_operator and write.resource != "jobs" and not _forgets(history, write):
            what = f"{write.verb} of {write.resource} {write.subresource} {write.name} by {write.identity}"
            yield Violation(write.received, f"{what}, though nothing was to be done")


def _forgets(history: History, write: Write) -> bool:
    """Tell whether a write is of the status, when what the guard remembers of a deletion is over: a deletion leaves the
    guard's window, or an approval is used up.
    """
    return _is_status(write) and (_leaves_the_window(history, write) or _uses_up_an_approval(history, write))


def _leaves_the_window(history: History, write: Write) -> bool:
    earliest, latest = FORGOTTEN_SECONDS
    return any(earliest <= write.received - deletion.received <= latest for deletion in _deletions(history))


def _uses_up_an_approval(history: History, write: Write) -> bool:
    """Tell whether a write may take an approval out of the status: the reconcile that deletes what was approved ends
    with one write of the status, and the first reconcile after it finds nothing left to approve.
    """
    approved = [
        deletion.received
        for deletion in _deletions(history)
        if deletion.received < write.received
        and any(deletion.name[-12:] in approval.regions for approval in history.approvals)
    ]
    last = max(approved, default=-math.inf)
    between = [other for other in history.writes if _is_status(other) and last < other.received < write.received]
    return write.received - last <= USED_UP_SECONDS and len(between) <= 1


def _is_status(write: Write) -> bool:
    return write.by_operator and (write.resource, write.subresource) == ("regionschedulers", "status")


def _deletions(history: History) -> Iterator[Write]:
    return (
        write
        for write in history.writes
        if write.by_operator and write.verb == "delete" and write.resource == "cronjobs"
    )
