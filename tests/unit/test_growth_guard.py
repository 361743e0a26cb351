"""plan/growth_guard.py: how many regions may come at once, and what happens to a first fill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Write
from region_operator.plan.deletion_guard import Decision
from region_operator.plan.growth_guard import Room, explain_room, guard_growth, without_deletions
from region_operator.plan.guard_memory import GuardState, Hold
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, live_cronjob

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
KIND = Guarded.CREATION


def creation(number: int) -> Write:
    region = replace(PARIS, id=str(number), code=f"R{number}")
    return Write(ChangeReason.ADDED, Desired(region, parse_schedule("@daily")), f"r-{number}", guarded=KIND)


def decide(
    new: range,
    standing: range,
    *,
    state: GuardState | None = None,
    known: range = range(0),
    elsewhere: range = range(0),
    approval: str = "",
    max_regions: int = 10_000,
    now: datetime = NOW,
) -> tuple[Decision, Room]:
    decision = Decision(Plan(writes=tuple(map(creation, new))), (), allowance=10, state=state or GuardState())
    return guard_growth(
        decision,
        [replace(live_cronjob(f"r-{number}"), key=region_key(str(number))) for number in standing],
        max_regions=max_regions,
        known={region_key(str(number)) for number in known},
        elsewhere={region_key(str(number)) for number in elsewhere},
        approval=approval,
        now=now,
    )


@pytest.mark.parametrize(
    ("new", "standing", "created"),
    [
        pytest.param(5000, 0, 5000, id="a first fill"),
        pytest.param(100, 1, 100, id="a hundred beside one"),
        pytest.param(101, 1, 0, id="more than a hundred beside one"),
        pytest.param(300, 300, 300, id="as many as stand"),
        pytest.param(301, 300, 0, id="more than stand"),
    ],
)
def test_what_is_new_may_be_as_many_as_what_stands(new: int, standing: int, created: int) -> None:
    decision, room = decide(range(standing, standing + new), range(standing))
    assert (len(decision.plan.writes), len(decision.held)) == (created, new - created)
    assert (KIND in decision.state.holds) is (created == 0)
    assert room == Room(10_000)


def test_a_first_fill_that_is_interrupted_goes_on() -> None:
    begun, _ = decide(range(5000), range(0))
    assert begun.state.filling
    for made in (1, 700, 4900):
        going_on, _ = decide(range(made, 5000), range(made), state=begun.state)
        assert len(going_on.plan.writes) == 5000 - made
        assert going_on.state.filling is (made < 4900)
    done, _ = decide(range(0), range(5000), state=begun.state)
    assert done.state == GuardState()


def test_after_an_import_that_was_let_through_the_next_one_is_judged_like_any_other() -> None:
    imported, _ = decide(range(1000, 1150), range(1000), known=range(1000))
    assert imported.state.filling
    wrong, _ = decide(range(1150, 9150), range(1150), known=range(1150), state=imported.state)
    assert (len(wrong.plan.writes), len(wrong.held)) == (0, 8000)


def test_what_somebody_deleted_comes_back_at_once() -> None:
    decision, _ = decide(range(200), range(200, 210), known=range(210))
    assert len(decision.plan.writes) == 200


def test_a_hold_is_approved_by_its_name_and_who_comes_meanwhile_joins() -> None:
    first, _ = decide(range(10, 150), range(10))
    hold = first.state.holds[KIND]
    joined, _ = decide(range(10, 151), range(10), state=first.state, now=NOW + timedelta(minutes=1))
    assert len(joined.held) == 141
    assert joined.state.holds[KIND].approval != hold.approval
    approved, _ = decide(range(10, 150), range(10), state=first.state, approval=hold.approval)
    assert (len(approved.plan.writes), approved.held) == (140, ())
    half, _ = decide(range(80, 150), range(80), state=approved.state)
    assert len(half.plan.writes) == 70
    done, _ = decide(range(0), range(150), state=half.state)
    assert done.state == GuardState()


def test_rows_that_are_gone_again_end_the_hold() -> None:
    first, _ = decide(range(10, 150), range(10))
    again, _ = decide(range(10, 12), range(10), state=first.state)
    assert len(again.held) == 2, "until they are all gone"
    gone, _ = decide(range(0), range(10), state=again.state)
    assert gone.state == GuardState()


def test_beyond_the_limit_nothing_is_created() -> None:
    decision, room = decide(range(90, 102), range(90), max_regions=100)
    assert (decision.plan.writes, decision.held, room) == ((), (), Room(100, 2))
    assert explain_room(room, complete=True) == (
        "no region is created: there would be 2 more than spec.maxRegions 100; take rows out, or raise spec.maxRegions"
    )
    decision, room = decide(range(90, 100), range(90), max_regions=100)
    assert (len(decision.plan.writes), room, explain_room(room, complete=True)) == (10, Room(100), "")
    assert "the rest is not read, nothing is deleted" in explain_room(room, complete=False)


@pytest.mark.parametrize("max_regions", [100, 50])
def test_beyond_the_limit_what_somebody_deleted_comes_back_all_the_same(max_regions: int) -> None:
    """The region stands already: its CronJob alone is gone. The new regions still have no room."""
    decision, room = decide(range(98, 102), range(98), known=range(100), max_regions=max_regions)
    assert [write.desired.region.id for write in decision.plan.writes] == ["98", "99"]
    assert room == Room(max_regions, 102 - max_regions)
    alone, room = decide(range(98, 100), range(98), known=range(100), max_regions=max_regions)
    assert (len(alone.plan.writes), room) == (2, Room(max_regions))


def test_beyond_the_limit_a_region_that_ticks_elsewhere_is_not_taken_over() -> None:
    """It would be one more here, although nothing grows."""
    decision, room = decide(range(98, 102), range(98), elsewhere=range(98, 102), max_regions=100)
    assert (decision.plan.writes, room) == ((), Room(100, 2))


def test_regions_that_tick_elsewhere_are_no_growth_and_what_does_not_is_new_beside_them() -> None:
    decision, _ = decide(range(10, 500), range(10), elsewhere=range(10, 500))
    assert len(decision.plan.writes) == 490
    taking, _ = decide(range(600), range(0), elsewhere=range(200))
    assert (len(taking.plan.writes), len(taking.held)) == (200, 400)
    some, _ = decide(range(350), range(0), elsewhere=range(200))
    assert len(some.plan.writes) == 350


def test_what_is_not_created_for_lack_of_room_waits_for_no_approval() -> None:
    state = GuardState(holds={KIND: Hold(NOW, frozenset({region_key("95")}), KIND)})
    decision, _ = decide(range(90, 102), range(90), max_regions=100, state=state)
    assert decision.state == GuardState()


def test_more_than_the_limit_may_stand() -> None:
    decision, room = decide(range(0), range(120), max_regions=100)
    assert (decision.plan, room) == (Plan(), Room(100))


def test_while_not_all_rows_are_read_no_region_goes_and_duplicates_do() -> None:
    kept = creation(1)
    gone = Delete(live_cronjob("r-1"), replacement=kept)
    copy = Delete(live_cronjob("r-2"), ChangeReason.DUPLICATE)
    plan = without_deletions(Plan(deletes=(gone, copy)))
    assert (plan.deletes, plan.writes) == ((copy,), (kept,))


def test_what_another_guard_remembers_stays() -> None:
    state = GuardState(filling=True, unknown_before=NOW)
    assert decide(range(1, 2), range(1), state=state)[0].state == GuardState(unknown_before=NOW)
