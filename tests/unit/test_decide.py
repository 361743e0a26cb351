"""plan/decide.py: how the parts of a decision fit together. Any order of events: `test_guard_model.py`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from region_operator.cronjobs.labels import region_key
from region_operator.cronjobs.live import LiveCronJob
from region_operator.plan.changes import ChangeReason, Guarded
from region_operator.plan.decide import Decided, Decider
from region_operator.plan.growth_guard import LEAST_GROWTH
from region_operator.plan.taken_over import TakeOver
from region_operator.regions.handover import RegionElsewhere
from region_operator.regions.slots import ALL_SLOTS
from region_operator.scheduler import Columns
from tests.harness.examples import applied, finish, live_cronjob, scheduler

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
MANY = LEAST_GROWTH + 50


def rows_of(count: int) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(Columns.model_fields)
    return [
        nothing | {"id": str(number), "code": f"R{number}", "name": "R", "cron_schedule": "@daily"}
        for number in range(count)
    ]


def take_over(ticking: range, *, cron: str = "@daily") -> TakeOver:
    """Return the take-over of a whole table, of which these regions tick elsewhere."""
    return TakeOver.of(ALL_SLOTS, [RegionElsewhere(str(number), cron, suspended=False) for number in ticking])


def decide(
    rows: list[dict[str, Any]], taking: TakeOver, *, standing: range = range(0), approval: str = "", **fields: Any
) -> Decided:
    """Decide with a new Decider. `fields` are those of `tests.harness.examples.scheduler`."""
    stand = [
        replace(live_cronjob(f"r-{n}", region_id=str(n), code=f"R{n}"), key=region_key(str(n)), ours=True)
        for n in standing
    ]
    approving = scheduler(**fields).model_copy(update={"approval": approval})
    deciding = Decider(tick_image="tick").decide(
        rows, stand, approving, source="public.region_index", take_over=taking, complete=True, now=NOW
    )
    return finish(deciding)


@pytest.mark.parametrize(("ticking", "held"), [(range(0), MANY), (range(1, MANY + 1), 0), (range(1, 20), MANY - 19)])
def test_regions_that_are_taken_over_are_no_growth(ticking: range, held: int) -> None:
    """They tick already, so nothing multiplies. A region that does not is new here too."""
    decision = decide(rows_of(MANY + 1), take_over(ticking), standing=range(1)).decision
    assert len(decision.held_of(Guarded.CREATION)) == held
    assert sum(write.creates for write in decision.plan.writes) == MANY - held


def test_a_successor_that_could_not_be_made_is_no_growth() -> None:
    """Its predecessor is gone. To hold the successor would keep the region standing still."""
    standing = [
        replace(live_cronjob(f"r-{n}", region_id=f"old{n}", code=f"R{n}"), key=region_key(f"old{n}"), ours=True)
        for n in range(MANY)
    ]
    decider, guard_off = Decider(tick_image="tick"), scheduler(deletionGuard={"maxPercent": 100})
    common: dict[str, Any] = {"source": "s", "take_over": TakeOver(), "complete": True, "now": NOW}
    rows = [*rows_of(MANY), rows_of(MANY + 1)[-1] | {"id": "stays"}]
    stays = replace(live_cronjob("stays", region_id="stays", code=f"R{MANY}"), key=region_key("stays"), ours=True)
    replacing = finish(decider.decide(rows, [*standing, stays], guard_off, **common)).decision
    assert sum(bool(delete.successor) for delete in replacing.plan.deletes) == MANY
    after = finish(decider.decide(rows, [stays], guard_off, **common)).decision
    assert (sum(write.creates for write in after.plan.writes), len(after.held)) == (MANY, 0)


def test_what_ticks_elsewhere_at_another_schedule_keeps_it_here_while_that_is_held() -> None:
    """Its former owner's guard holds the slowdowns. To make the CronJobs here must not let them through."""
    decided = decide(rows_of(30), take_over(range(30), cron="* * * * *"))
    assert len(decided.decision.held_of(Guarded.SLOWDOWN)) == 30
    assert {write.desired.schedule.source for write in decided.decision.plan.writes} == {"* * * * *"}
    assert len(decided.decision.plan.writes) == 30
    few = decide(rows_of(30), take_over(range(5), cron="* * * * *")).decision
    assert (few.held, len(few.plan.writes)) == ((), 30)


@pytest.mark.parametrize(("back", "suspended"), [(9, False), (90, True)])
def test_a_suspension_that_has_ended_does_not_begin_anew_by_the_clock_of_a_slower_api_server(
    back: int, suspended: bool
) -> None:
    """A clock that was far wrong, and is set right, is another matter: the end is still to come."""
    decider, ended = Decider(tick_image="tick"), scheduler(suspendUntil="2026-11-24T10:40:00Z")
    for now, expected in ((NOW - timedelta(seconds=9), True), (NOW, False), (NOW - timedelta(seconds=back), suspended)):
        deciding = decider.decide([], [], ended, source="s", take_over=TakeOver(), complete=True, now=now)
        assert (finish(deciding).suspension is not None) == expected


def test_the_limit_counts_them_all_whatever_they_do_to_the_schedule() -> None:
    for cron in ("* * * * *", "@yearly"):
        decided = decide(rows_of(30), take_over(range(30), cron=cron), maxRegions=20)
        assert decided.decision.plan.writes == ()
        assert decided.room.excess == 10


def test_regions_that_tick_elsewhere_do_not_stop_by_a_change_of_owner() -> None:
    """The table lost rows, or was seeded anew: the owner's guard holds the deletions."""
    for rows in ([], rows_of(19), [row | {"id": f"new-{row['id']}"} for row in rows_of(30)]):
        decided = decide(rows, take_over(range(30)))
        assert decided.decision.plan.writes == ()
        assert "of 30 regions that tick elsewhere would have no CronJob here" in decided.loss
    enough = decide(rows_of(20), take_over(range(30)))
    assert (len(enough.decision.plan.writes), enough.loss) == (20, "")


def test_an_approval_of_creations_outlives_a_loss_that_stops_the_take_over() -> None:
    """Somebody approves while the table has lost rows. When the rows are back, nobody has to approve again."""
    held = decide(rows_of(MANY + 20), take_over(range(20))).decision.state
    for approval, made in (("", 20), (held.holds[Guarded.CREATION].approval, MANY + 20)):
        lost = decide(rows_of(MANY + 20)[20:], take_over(range(20)), status=held.to_status(), approval=approval)
        assert (lost.decision.plan.writes, bool(lost.loss)) == ((), True)
        back = decide(rows_of(MANY + 20), take_over(range(20)), status=lost.decision.state.to_status())
        assert (len(back.decision.plan.writes), back.loss) == (made, "")


def test_what_somebody_deleted_is_no_growth_although_a_reconcile_failed_before_its_end() -> None:
    stand = [
        replace(
            live_cronjob(f"r-{number}", region_id=str(number), code=f"R{number}"),
            key=region_key(str(number)),
            ours=True,
        )
        for number in range(MANY + 1)
    ]
    decider = Decider(tick_image="tick")
    for current in (stand, stand[:1], stand[:1]):
        deciding = decider.decide(
            rows_of(MANY + 1),
            current,
            scheduler(),
            source="public.region_index",
            take_over=TakeOver(),
            complete=True,
            now=NOW,
        )
        assert finish(deciding).decision.held_of(Guarded.CREATION) == ()


def decide_anew(decider: Decider, standing: int, status: dict[str, Any], *, uid: str = "u2") -> bool:
    """Decide, with one row less than CronJobs; return whether the RegionScheduler's past is unknown."""
    stand = [
        replace(live_cronjob(f"r-{number}", region_id=str(number), code=f"R{number}"), key=region_key(str(number)))
        for number in range(standing)
    ]
    deciding = decider.decide(
        rows_of(max(1, standing - 1)),
        [replace(live, ours=True) for live in stand],
        scheduler(status=status).model_copy(update={"uid": uid}),
        source="public.region_index",
        take_over=TakeOver(),
        complete=True,
        now=NOW,
    )
    decision = finish(deciding).decision
    assert len(decision.held_of(Guarded.DELETION)) == (decision.is_past_unknown and standing > 1)
    return decision.is_past_unknown


def test_a_regionscheduler_without_a_memory_beside_cronjobs_does_not_know_its_past() -> None:
    decider = Decider(tick_image="tick")
    for status in ({}, {"observedGeneration": 1}, {"observedGeneration": 1}):  # as often as the decision is not saved
        assert decide_anew(decider, 20, status)
    assert not decide_anew(decider, 20, {"regions": {"active": 20}})


def test_an_unknown_past_is_over_once_although_no_reconcile_was_ever_completed() -> None:
    """Then the status says nothing more of it, a day later. It must not begin again each day."""
    decider = Decider(tick_image="tick")
    assert decide_anew(decider, 20, {})
    assert decide_anew(decider, 20, {"unknownBefore": "2026-11-24T10:40:00Z"})
    assert not decide_anew(decider, 20, {"unknownBefore": "2026-11-23T10:39:59Z"})
    assert not decide_anew(decider, 20, {"observedGeneration": 1})


def test_one_that_begins_beside_no_cronjob_has_no_past_although_its_first_reconcile_fails() -> None:
    decider = Decider(tick_image="tick")
    assert not decide_anew(decider, 0, {})
    assert not decide_anew(decider, 20, {"observedGeneration": 1})
    assert decide_anew(decider, 20, {"observedGeneration": 1}, uid="u3")


def test_a_suspension_ends_at_its_end_although_nothing_was_edited() -> None:
    decider = Decider(tick_image="tick")
    rows, until = rows_of(1), "2026-11-24T11:00:00Z"
    common: dict[str, Any] = {"source": "s", "take_over": TakeOver(), "complete": True}
    found = []
    for now in (NOW, NOW, NOW + timedelta(minutes=20), NOW + timedelta(minutes=21)):
        decided = finish(decider.decide(rows, [], scheduler(suspendUntil=until), now=now, **common))
        [write] = decided.plan.writes
        found.append((decided.render(write.desired, write.name)["spec"]["suspend"], bool(decided.suspension)))
    assert found == [(True, True), (True, True), (False, False), (False, False)]


def test_a_cronjob_in_sync_with_a_suspension_is_resumed_at_its_end() -> None:
    """What was rendered before must not be believed: the spec is the same, and the time is another one."""
    decider = Decider(tick_image="tick")
    suspending = scheduler(suspendUntil="2026-11-24T11:00:00Z")
    common: dict[str, Any] = {"source": "s", "take_over": TakeOver(), "complete": True}
    made = finish(decider.decide(rows_of(1), [], suspending, now=NOW, **common))
    [write] = made.plan.writes
    live = LiveCronJob.from_object(applied(made.render(write.desired, write.name)))
    assert finish(decider.decide(rows_of(1), [live], suspending, now=NOW, **common)).plan.unchanged == 1
    ended = finish(decider.decide(rows_of(1), [live], suspending, now=NOW + timedelta(hours=1), **common))
    assert [write.reason for write in ended.plan.writes] == [ChangeReason.RESUMED]
