"""Whether each error has a cause, and an operator that is kept from its work says so. Pure.

Believes whoever caused the faults about when they lasted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from region_operator.runtime.shutdown import EXIT_LIMIT_SECONDS
from tests.faults.course import BAD_SCHEDULES, Lane
from tests.faults.history import AFTERMATH_SECONDS, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.history import History, Line, Process

_LOST, _TOLD, _API_AWAY, _TOLD_TOO_EARLY = 75, 0, 69, -15

_AT_THE_END = (
    "Timer 'reconcile' did not exit in time",
    "Timer 'reconcile' is cancelled",
    "query cancellation interrupted (CancelledError)",
)
"""How what kopf and psycopg say begins of a reconcile that SIGTERM had kopf cancel, amid a statement of it."""

_DATABASE = frozenset({Lane.DATABASE})
_API = frozenset({Lane.API_SERVER})
_HANDS = frozenset({Lane.PEOPLE, Lane.TABLE})
_CAUSES = {
    "not reconciled": _DATABASE | _API | _HANDS,
    "not accounted": _DATABASE | _API,
    "nothing forgotten": _DATABASE,
    "jobs not deleted": _API,
    "not nudged": _API,
    "status not written": _API,
    "not listening": _DATABASE,
    "not watching": _API,
    "overcommitted": frozenset({Lane.TABLE}),
    "no partitions": _DATABASE,
    "no trigger": _DATABASE,
    "change failed": _API | {Lane.PEOPLE},
    "event not posted": _API,
    "lease not renewed": _API,
    "lease not released": _API,
    "no standby": _API,
    "leadership lost": _API,
    "changes held": frozenset({Lane.TABLE}),
    "query cancellation failed": _DATABASE,  # psycopg
    "query not terminated after cancellation": _DATABASE,
    "Request attempt #": _API,  # kopf
}
"""Which lanes' actions explain a line of the log that begins so; what is done to the operator's own process and network
explains each.
"""

SILENT_SECONDS = 50.0
"""How long a leader may neither come to the end of a reconcile nor say why not: what hangs is given up after 45 s."""

_LASTING = frozenset({"not reconciled", "not finished"})
"""What is said once, when it begins, of what may last."""

_ALARMING = ("warning", "error", "critical")


def errors(history: History) -> Iterator[Violation]:
    """Find processes that ended as they should not, errors without a cause, and leaders that fell silent."""
    yield from _wrong_ends(history)
    yield from _unexplained(history)
    yield from _silent(history)


def _wrong_ends(history: History) -> Iterator[Violation]:
    """Find processes that ended by themselves, but for those that lost their Lease, and those that ended badly."""
    for process in history.processes:
        for stray in process.strays:
            if process.code != _API_AWAY or not stray.startswith("region-operator: "):
                yield Violation(process.ended, f"{process.identity} wrote what is no line of its log: {stray}")
        if not _ended_well(history, process):
            asked = "by itself" if process.asked is None else f"{process.ended - process.asked:.0f} s after it was told"
            yield Violation(process.ended, f"{process.identity} ended with {process.code}, {asked}")


def _ended_well(history: History, process: Process) -> bool:
    said = {line.event for line in history.lines if line.identity == process.identity and line.level != "debug"}
    lost = "leadership lost" in said
    if process.code == _LOST:
        return lost and history.explains(process.identity, process.ended, _API)
    if process.code == _API_AWAY:
        return history.explains(process.identity, process.ended, _API)
    in_time = process.asked is not None and process.ended - process.asked < EXIT_LIMIT_SECONDS
    if process.code == _TOLD_TOO_EARLY:
        return in_time and said <= {"starting"}
    return in_time and process.code in (_TOLD, -9) and not lost


def _unexplained(history: History) -> Iterator[Violation]:
    """Find warnings and errors that nothing was done to cause, and whatever has a traceback."""
    for line in history.lines:
        if "traceback" in line.body:
            yield Violation(line.at, f"{line.identity}: {line.event}: {line.body['traceback']}")
        elif line.level in _ALARMING and not _has_a_cause(history, line):
            yield Violation(line.at, f"{line.identity}: {dict(line.body)}: nothing was done that explains it")


def _has_a_cause(history: History, line: Line) -> bool:
    if line.event == "quarantined":
        return _was_spoilt(history, line)
    if line.event.startswith(_AT_THE_END):
        asked = next((process.asked for process in history.processes if process.identity == line.identity), None)
        return asked is not None and asked <= line.at
    causes = next((lanes for beginning, lanes in _CAUSES.items() if line.event.startswith(beginning)), None)
    return causes is not None and history.explains(line.identity, line.at, causes)


def _was_spoilt(history: History, line: Line) -> bool:
    """Tell whether the row of a region that is quarantined was bad when it can have been read."""
    states = (state for state in history.table if state.since <= line.at and state.until >= line.at - AFTERMATH_SECONDS)
    rows = (state.rows.get(line.body["region.id"]) for state in states)
    return any(row is not None and row.cron in BAD_SCHEDULES for row in rows)


def _silent(history: History) -> Iterator[Violation]:
    """Find leaders that for long neither came to the end of a reconcile nor said why not."""
    for process in history.processes:
        lines = [line for line in history.lines if line.identity == process.identity]
        led = min((line.at for line in lines if line.event == "leading"), default=process.ended)
        told = sorted(line.at for line in lines if line.event == "reconciled" or line.level in _ALARMING)
        failing = {line.at for line in lines if line.event in _LASTING}
        for since, at in pairwise([led, *(at for at in told if at > led), process.ended]):
            if at - since > SILENT_SECONDS and since not in failing:
                yield Violation(at, f"{process.identity} neither reconciled nor said why not for {at - since:.0f} s")
