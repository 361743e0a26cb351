"""What a person needs who is to find out why random faults ended badly: the violations, the first with what happened
around it, and the course, which can be run again.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from tests.faults.course import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.course import Course
    from tests.faults.history import History, Violation

BEFORE_SECONDS, AFTER_SECONDS = 30.0, 3.0
SHOWN = 20


def explain(course: Course, history: History, violations: Sequence[Violation]) -> str:
    """Return it as a text."""
    first = violations[0].at
    if first == math.inf:
        first = max((line.at for line in history.lines), default=0.0)
    around = [(at, text) for at, text in _moments(history) if first - BEFORE_SECONDS <= at <= first + AFTER_SECONDS]
    named = [f"{_clock(violation.at)}  {violation.message}" for violation in violations[:SHOWN]]
    rest = [f"and {len(violations) - SHOWN} more"] if violations[SHOWN:] else []
    return "\n".join(
        [
            f"{len(violations)} violations; RANDOM_FAULTS_SEED={course.seed} runs the same course",
            *named,
            *rest,
            "",
            "around the first of them:",
            *(f"{_clock(at)}  {text}" for at, text in sorted(around)),
            "",
            "the course:",
            str(course),
        ]
    )


def summarise(history: History) -> str:
    """Say in a line how much happened: a run in which nothing did would prove nothing."""
    done = [write for write in history.writes if write.by_operator and write.done]
    ours = [write for write in done if write.resource == "cronjobs"]
    terms = [write.identity for write in history.writes if write.resource == "leases" and write.done and write.identity]
    ends = Counter(process.code for process in history.processes)
    counts = {
        "edits": len(history.table) - 1,
        "commands": sum(span.lane is Lane.PEOPLE for span in history.spans),
        "faults": sum(span.lane not in (Lane.PEOPLE, Lane.TABLE) for span in history.spans),
        "leaders": len([*groupby(terms)]),
        "CronJobs written": sum(write.verb != "delete" for write in ours),
        "deleted": sum(write.verb == "delete" for write in ours),
        "waiting Jobs deleted": sum(write.verb == "delete" and write.resource == "jobs" for write in done),
        "approvals": len(history.approvals),
        "reconciles failed": sum(line.event == "not reconciled" for line in history.lines),
    }
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(ends.items()))
    return ", ".join(f"{count} {what}" for what, count in counts.items()) + f"; operators ended: {ended}"


def _moments(history: History) -> Iterator[tuple[float, str]]:
    for span in history.spans:
        yield span.begin, f"BEGINS  {span}"
        yield span.end, f"ENDS    {span}"
    before = 0
    for state in history.table:
        yield state.since, f"TABLE   {len(state.rows)} rows, {len(state.rows) - before:+}"
        before = len(state.rows)
    for process in history.processes:
        yield process.started, f"STARTED {process.lane} {process.identity}"
        yield process.ended, f"ENDED   {process.lane} {process.identity} with {process.code}"
    for approval in history.approvals:
        yield approval.at, f"APPROVAL of {len(approval.regions)} regions"
    for write in history.writes:
        what = f"{write.verb} {write.resource} {write.subresource} {write.name}: {write.code}"
        yield write.received, f"WRITE   {write.identity or 'another'}: {what}"
    for line in history.lines:
        if line.level != "debug":
            keys = {key: value for key, value in line.body.items() if key not in ("ts", "level", "event")}
            yield line.at, f"LOG     {line.identity} {line.level} {line.event} {keys}"


def _clock(at: float) -> str:
    return "at the end" if at == math.inf else datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
