"""plan/taken_over.py: what a creation counts as whose region ticks elsewhere, and who would stop by a take-over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Write
from region_operator.plan.taken_over import TakeOver, explain_loss, guard_reschedules, without_creations
from region_operator.regions.handover import RegionElsewhere
from region_operator.regions.schedule import parse_schedule
from region_operator.regions.slots import ALL_SLOTS, slot_of
from region_operator.scheduler import DeletionGuard
from tests.harness.examples import PARIS, finish, live_cronjob

NONE = TakeOver()


def creation(number: int = 1, cron: str = "0 * * * *") -> Write:
    region = replace(PARIS, id=str(number), cron_schedule=cron)
    return Write(ChangeReason.ADDED, Desired(region, parse_schedule(cron)), f"r-{number}", guarded=Guarded.CREATION)


def elsewhere(*numbers: int, cron: str = "0 * * * *", suspended: bool = False) -> TakeOver:
    return TakeOver.of(ALL_SLOTS, [RegionElsewhere(str(number), cron, suspended) for number in numbers])


@pytest.mark.parametrize(
    ("cron", "kind"),
    [
        ("0 * * * *", Guarded.CREATION),
        ("30 * * * *", Guarded.CREATION),
        ("*/7 * * * *", Guarded.CREATION),
        ("* * * * *", Guarded.SLOWDOWN),
        ("@monthly", Guarded.SPEEDUP),
        ("what a newer release writes", Guarded.CREATION),
    ],
)
def test_a_creation_counts_as_the_edit_that_it_is(cron: str, kind: Guarded) -> None:
    [write] = finish(guard_reschedules(Plan(writes=(creation(),)), elsewhere(1, cron=cron))).writes
    assert write.guarded is kind
    if kind is Guarded.CREATION:
        assert write.replacement is None
        return
    assert write.replacement is not None
    assert (write.replacement.guarded, write.replacement.name) == (Guarded.CREATION, "r-1")
    assert write.replacement.desired.schedule.source == parse_schedule(cron).source


def test_what_ticks_nowhere_else_or_stands_here_already_is_left_as_it_is() -> None:
    stands = replace(creation(), live=replace(live_cronjob("r-1"), key=region_key("1")), guarded=None)
    plan = Plan(writes=(stands, creation(2)))
    assert finish(guard_reschedules(plan, elsewhere(1, cron="* * * * *"))) == plan
    assert finish(guard_reschedules(plan, NONE)) is plan


def test_who_has_no_cronjob_here_after_the_plan_would_stop() -> None:
    guard = DeletionGuard(max_count=0, max_percent=0)
    stands = [replace(live_cronjob(f"r-{number}"), key=region_key(str(number))) for number in (1, 2)]
    plan = Plan(writes=(creation(3),))
    assert explain_loss(plan, stands, elsewhere(1, 2, 3), guard) == ""
    assert explain_loss(plan, stands, NONE, guard) == ""
    assert explain_loss(plan, stands, elsewhere(1, 4), guard).startswith("1 of 2 regions that tick elsewhere would")
    assert explain_loss(plan, stands, elsewhere(1, 4), DeletionGuard(max_count=1)) == ""
    assert explain_loss(Plan(), stands, elsewhere(1, 2, 3), guard).startswith("1 of 3 ")
    deleted = Plan(deletes=(Delete(stands[0]), Delete(stands[1], ChangeReason.DUPLICATE)))
    assert explain_loss(deleted, stands, elsewhere(1, 2), guard).startswith("1 of 2 ")
    assert explain_loss(Plan(), [], elsewhere(1), DeletionGuard()) == "", "one of few"
    assert explain_loss(Plan(), [], elsewhere(1, 2), DeletionGuard()).startswith("2 of 2 "), "the last region"
    assert explain_loss(Plan(), [], elsewhere(1, 2), DeletionGuard(max_percent=100)) == "", "the guard is off"
    assert explain_loss(Plan(), [], elsewhere(*range(99), suspended=True), guard) == "", "they stand still anyway"


def test_nothing_is_created_in_slots_that_do_not_change_hands() -> None:
    stands = replace(creation(3), live=replace(live_cronjob("r-3"), key=region_key("3")))
    plan = Plan(writes=(creation(1), creation(2), stands))
    assert without_creations(plan, frozenset({slot_of("1"), slot_of("3")})).writes == (creation(2), stands)
