"""Whether the right one wrote, and whether what was deleted was to be deleted. Pure.

Believes the API server's audit log about who wrote what and when, the rows of job_run about ticks that never began, and
the operators' logs about when a reconcile ended: what a reconcile deletes it read after the end of the one before.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.kube.api import CONCURRENT_REQUESTS
from tests.faults.course import ALLOWANCE, WINDOW_SECONDS, Lane
from tests.faults.history import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.history import History, Line, TableState, Write

_ENDS_OF_A_RECONCILE = frozenset({"leading", "reconciled", "not reconciled", "not finished"})


def writes(history: History) -> Iterator[Violation]:
    """Find what was written by one who may not, or deleted that was not to go."""
    yield from _not_by_the_leader(history)
    yield from _not_asked_for(history)
    yield from _too_many_deleted(history)
    yield from _ticks_cut_off(history)


def _not_by_the_leader(history: History) -> Iterator[Violation]:
    """Find writes by one who does not hold the Lease, but for those that had left before it lost it."""
    late = Counter[str]()
    made: set[str] = set()
    for write in sorted(history.writes, key=lambda write: write.answered):
        again = write.name in made
        if write.resource == "cronjobs" and write.code == 201:
            made.add(write.name)
        if not write.by_operator or not write.done or write.identity in history.holders(write.received):
            continue
        late[write.identity] += 1
        what = f"{write.verb} of {write.resource} {write.name} by {write.identity}, which does not hold the Lease"
        if write.verb == "delete":
            yield Violation(write.received, what)
        elif write.code == 201 and write.resource == "cronjobs" and again:
            yield Violation(write.received, f"{what}, recreates what was there before")
        elif not history.explains(write.identity, write.received, {Lane.API_SERVER}):
            yield Violation(write.received, f"{what}, though nothing kept it from noticing")
        elif late[write.identity] > CONCURRENT_REQUESTS:
            yield Violation(write.received, f"{what}, is one too many to have left before")


def _deletes(history: History) -> list[Write]:
    """Return what operators deleted, in order, but for the revisions of spec.tick, which no tick needs."""
    deletes = (write for write in history.writes if write.by_operator and write.verb == "delete" and write.done)
    return sorted(
        (write for write in deletes if write.resource != "controllerrevisions"), key=lambda write: write.received
    )


def _not_asked_for(history: History) -> Iterator[Violation]:
    """Find deletes that no state of the table asked for which the reconcile can have read, or which it should hold."""
    for write in _deletes(history):
        if write.resource == "jobs":
            continue
        key = write.name[-12:]
        since = _previous_end(history.lines, write)
        states = [state for state in history.table if state.since <= write.received and state.until >= since]
        asking = [state for state in states if key not in _asked(state)]
        if write.resource != "cronjobs" or not asking:
            yield Violation(
                write.received, f"{write.identity} deletes {write.resource} {write.name}: the row was there"
            )
        elif key in (approved := _approved(history, write.received)):
            continue
        else:
            stood = _stood(history.writes, write.received) - approved
            missing = min(len(stood - _asked(state)) for state in asking)
            if missing > ALLOWANCE:
                yield Violation(write.received, f"{write.identity} deletes {write.name}, one of {missing}: too many")


def _too_many_deleted(history: History) -> Iterator[Violation]:
    """Find more regions gone than may go. What the guard counts it counts before it deletes, so half its window it is
    that is looked at.
    """
    recent: list[Write] = []
    for write in _deletes(history):
        if write.resource == "jobs" or write.name[-12:] in _approved(history, write.received):
            continue
        recent = [one for one in recent if write.received - one.received < WINDOW_SECONDS / 2] + [write]
        regions = {one.name for one in recent}
        if len(regions) > ALLOWANCE:
            yield Violation(write.received, f"{len(regions)} regions gone within {WINDOW_SECONDS / 2:.0f} s")


def _ticks_cut_off(history: History) -> Iterator[Violation]:
    """Find deletes of Jobs but those whose tick is on record as one that never began, and that never had a pod.

    A pod's making is on record without its name; of what its controllers do to it later, the end of a Job's pods among
    that, each line has it. That name is read back to the Job's, which holds for Jobs of up to 57 characters, as all are
    here: of a longer one's name and a hyphen, its pods keep 58 (apiserver/pkg/storage/names/generate.go).
    """
    refused = {refusal.job: refusal.at for refusal in history.refusals}
    had_pods = {write.name.rpartition("-")[0] for write in history.writes if write.resource == "pods"}
    for write in _deletes(history):
        if write.resource != "jobs":
            continue
        if refused.get(write.name, math.inf) > write.received:
            yield Violation(write.received, f"{write.identity} deletes jobs {write.name}: its tick has no final row")
        elif write.name in had_pods:
            yield Violation(write.received, f"{write.identity} deletes jobs {write.name}, which had a pod")


def _previous_end(lines: Sequence[Line], write: Write) -> float:
    """Return when the reconcile before the one that wrote ended."""
    ends = (line.at for line in lines if line.identity == write.identity and line.event in _ENDS_OF_A_RECONCILE)
    return max((at for at in ends if at < write.received), default=-math.inf)


def _asked(state: TableState) -> set[str]:
    return {region_key(row.id) for row in state.rows.values() if row.active}


def _approved(history: History, moment: float) -> set[str]:
    return set[str]().union(*(approval.regions for approval in history.approvals if approval.at <= moment))


def _stood(writes: Sequence[Write], moment: float) -> set[str]:
    """Return the regions that had a CronJob at a moment."""
    stood: set[str] = set()
    for write in sorted(writes, key=lambda write: write.answered):
        if write.received >= moment or write.resource != "cronjobs" or not write.done:
            continue
        if write.code == 201:
            stood.add(write.name[-12:])
        elif write.verb == "delete":
            stood.discard(write.name[-12:])
    return stood
