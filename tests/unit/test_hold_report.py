"""plan/hold_report.py: what people read of a hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Write
from region_operator.plan.guard_memory import Hold
from region_operator.plan.hold_report import explain_hold
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, live_cronjob, scheduler

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
STOPS = "within 10m, or within a day, more regions would stop than spec.deletionGuard lets, or all of them"


def write(number: int, kind: Guarded) -> Write:
    region = replace(PARIS, id=str(number), code=f"R{number}")
    return Write(ChangeReason.UPDATED, Desired(region, parse_schedule("@daily")), f"r-{number}", guarded=kind)


APPROVE = "kubectl annotate regionscheduler default -n region-tick --overwrite region-tick.dev/approve-deletions="

RUN_ON = f"{STOPS}, because their rows are bad: they run on as they last were until the rows are mended"
KEEP = f"{STOPS}, because they would tick more than 10 times less often: they keep their schedules"
TABLE = "more than 100 new regions, and more than there were: is it the right table?"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Guarded.QUARANTINE, f"quarantines held: R0, R1, R2 and 1 more; {RUN_ON}; if they are to stop: "),
        (Guarded.SLOWDOWN, f"slowdowns held: R0, R1, R2 and 1 more; {KEEP}; if that is meant: "),
        (Guarded.CREATION, f"creations held: R0, R1, R2 and 1 more; {TABLE}; if they are to tick: "),
    ],
)
def test_a_hold_says_what_is_held_why_and_what_to_do(kind: Guarded, text: str) -> None:
    hold = Hold(NOW, frozenset("0123"), kind)
    said = explain_hold(hold, [write(number, kind) for number in range(4)], scheduler())
    assert said == f"{text}{APPROVE}{hold.approval}"


def test_a_hold_of_deletions_counts_the_rows_that_wait_for_the_codes() -> None:
    held = [Delete(live_cronjob(f"r-{number}", code=f"R{number}")) for number in range(2)]
    held[0] = replace(held[0], successor=write(7, Guarded.CREATION))
    said = explain_hold(Hold(NOW, frozenset("01")), held, scheduler())
    assert said.startswith(f"deletions held: R0, R1; {STOPS}; to stop all and keep them, set spec.suspend;")
    assert "; 1 of them have rows with new ids, which wait for their codes;" in said


def test_an_approval_that_does_not_fit_is_said_and_unread_rows_are_counted() -> None:
    other = scheduler().model_copy(update={"approval": "0123456789ab"})
    said = explain_hold(Hold(NOW, frozenset("012")), [], other)
    assert said.startswith("deletions held: 3 regions; ")
    assert "; the approval 0123456789ab is of other regions, or of another time; if they are to go: " in said


def test_a_hold_of_a_guard_that_does_not_know_the_past_says_so() -> None:
    hold = Hold(NOW, frozenset("0"))
    said = explain_hold(hold, [Delete(live_cronjob("r-0", code="R0"))], scheduler(), unknown=True)
    assert said.startswith(
        "deletions held: R0; this RegionScheduler is younger than its CronJobs, and nobody knows how"
    )
    assert said.endswith(f"if they are to go: {APPROVE}{hold.approval}")
