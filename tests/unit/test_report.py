"""plan/report.py: what `region-operator plan` prints, for people and for machines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import ChangeReason, Delete, Desired, Guarded, Plan, Write
from region_operator.plan.deletion_guard import Decision
from region_operator.plan.forecast import ASSUMED_TICK_TIME, Forecast, Minute
from region_operator.plan.guard_memory import GuardState, Hold
from region_operator.plan.report import ACTIONS, Report, make_report
from region_operator.plan.tick_queues import Capacity
from region_operator.regions.region import Quarantined, RegionRow
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, live_cronjob, scheduler

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob
    from region_operator.scheduler import Scheduler

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
BAD = Quarantined("7", "R7", 'cron_schedule "61 * * * *" is invalid')
QUOTA = 8


def region(number: int) -> RegionRow:
    return replace(PARIS, id=str(number), code=f"R{number}")


def live(number: int) -> LiveCronJob:
    return replace(
        live_cronjob(f"r{number}-{region_key(str(number))}", uid=str(number), region_id=str(number), code=f"R{number}"),
        name=f"r{number}-kept",
    )


def write(reason: ChangeReason, number: int, schedule: str, *, of: LiveCronJob | None = None) -> Write:
    return Write(reason, Desired(region(number), parse_schedule(schedule)), of.name if of else f"r{number}-new", of)


PLAN = Plan(
    writes=(
        write(ChangeReason.ADDED, 1, "*/5 * * * *"),
        write(ChangeReason.RESCHEDULED, 2, "@hourly", of=live(2)),
        write(ChangeReason.UPDATED, 3, "@daily", of=live(3)),
        write(ChangeReason.SUSPENDED, 7, "@daily", of=live(7)),
    ),
    deletes=(Delete(live(4)),),
    unchanged=45,
)
HOLD = Hold(NOW, frozenset({region_key("5"), region_key("6")}))
CAPACITY = Capacity(slots=4, jobs_per_second=8, start_seconds=3, slot_seconds=5)
FORECAST = Forecast(NOW, CAPACITY, ASSUMED_TICK_TIME, [Minute(NOW, 90, 8, 7)], 9, 2.1)
DECISION = Decision(
    PLAN, (Delete(live(5)), Delete(live(6))), allowance=1, state=GuardState(holds={Guarded.DELETION: HOLD})
)


def report(
    decision: Decision,
    *quarantined: Quarantined,
    quota: int | None = None,
    of: Scheduler | None = None,
    problem: str = "",
) -> Report:
    return make_report(
        decision, quarantined, of or scheduler(), FORECAST, quota=quota, problems=[problem] if problem else []
    )


def test_people_see_each_change_with_its_reason_and_the_counts() -> None:
    printed = report(DECISION, BAD, Quarantined("8", "", "code is empty"), quota=QUOTA).as_text().splitlines()
    assert printed == [
        "create       R1  */5 * * * *  an active row without a CronJob",
        "reschedule   R2  @hourly      was @daily",
        "update       R3  @daily       the row, the RegionScheduler, the release or the CronJob has changed",
        'suspend      R7  @daily       cron_schedule "61 * * * *" is invalid',
        "delete       R4  @daily       no active row",
        "hold         R5  @daily       no active row, but too many or all would go",
        "hold         R6  @daily       no active row, but too many or all would go",
        "quota                         at most 8 ticks at once",
        "quarantined  8                code is empty",
        (
            "deletions would be held: the guard lets 1 regions stop within its window, and not all of them;"
            " how to approve them is said once the operator holds them"
        ),
        "the next 24 h have 90 ticks: 7 are lost, 8 start a minute late or more",
        "1 to create, 1 to reschedule, 1 to update, 1 to suspend, 1 to delete, 2 to hold, 45 unchanged, 2 quarantined",
    ]


def test_the_text_of_the_row_is_shown_beside_what_its_hash_becomes() -> None:
    hashed = replace(region(1), code="FR/75", cron_schedule="H/10 * * * *")
    schedule = parse_schedule(hashed.cron_schedule, code=hashed.code)
    added = Write(ChangeReason.ADDED, Desired(hashed, schedule), "r1")
    [line] = report(Decision(Plan(writes=(added,)), (), allowance=10, state=GuardState())).lines
    assert line.schedule == "0-59/10 * * * *"
    assert line.reason == "an active row without a CronJob; the row says H/10 * * * *"


def test_a_replacement_names_both_ids_also_while_it_is_held() -> None:
    new = replace(region(4), id="new")
    added = Write(ChangeReason.ADDED, Desired(new, parse_schedule("@daily")), "r-new", guarded=Guarded.CREATION)
    replaced = Delete(live(4), ChangeReason.REPLACED, successor=added)
    why = "id 4 has no active row, id new has its code"
    [line] = report(Decision(Plan(deletes=(replaced,)), (), allowance=10, state=GuardState())).lines
    assert (line.action, line.code, line.reason) == ("replace", "R4", why)
    [line] = report(Decision(Plan(), (replaced,), allowance=10, state=GuardState())).lines
    assert (line.action, line.reason) == ("hold", f"{why}, but too many or all would go")


def test_a_held_write_says_what_it_would_do() -> None:
    new = Write(ChangeReason.ADDED, Desired(region(1), parse_schedule("@daily")), "r1", guarded=Guarded.CREATION)
    bad = Write(
        ChangeReason.SUSPENDED, Desired(region(7), parse_schedule("@daily")), "r7", live(7), guarded=Guarded.QUARANTINE
    )
    lines = report(Decision(Plan(), (new, bad), allowance=10, state=GuardState()), BAD).lines
    assert [(line.action, line.reason) for line in lines] == [
        ("hold", "create: an active row without a CronJob, but too many new regions"),
        ("hold", f"suspend: {BAD.reason}, but too many or all would stop"),
    ]


def test_how_to_approve_a_hold_is_said_once_the_status_names_it() -> None:
    of = scheduler(status=GuardState(holds={Guarded.DELETION: HOLD}).to_status())
    assert f"approve-deletions={HOLD.approval}" in report(DECISION, of=of).as_text()


def test_machines_get_the_same_keys_whatever_the_plan() -> None:
    empty = report(Decision(Plan(unchanged=3), (), allowance=10, state=GuardState())).as_json()
    assert empty == {
        "changes": [],
        "unchanged": 3,
        "quota": None,
        "quarantined": [],
        "notes": [],
        "forecast": {"fits": False, "due": 90, "late": 8, "lost": 7},
    }
    full = report(DECISION, BAD, quota=QUOTA).as_json()
    assert full.keys() == empty.keys()
    assert [change["action"] for change in full["changes"]] == [
        "create",
        "reschedule",
        "update",
        "suspend",
        "delete",
        "hold",
        "hold",
    ]
    assert full["changes"][0] == {
        "action": "create",
        "regionId": "1",
        "code": "R1",
        "cronjob": "r1-new",
        "schedule": "*/5 * * * *",
        "reason": "an active row without a CronJob",
    }
    assert (full["quota"], full["quarantined"]) == (8, [{"regionId": "7", "code": "R7", "reason": BAD.reason}])


def test_there_is_something_to_do_where_anything_is_not_as_the_table_says() -> None:
    nothing = Decision(Plan(unchanged=3), (), allowance=10, state=GuardState())
    assert not report(nothing, BAD)
    assert report(nothing, quota=QUOTA)
    assert report(replace(nothing, plan=PLAN))
    assert report(replace(nothing, held=DECISION.held, state=DECISION.state))


def test_every_reason_has_its_word() -> None:
    assert ACTIONS.keys() == set(ChangeReason)


def test_what_others_did_and_what_an_annotation_asks_for_is_said() -> None:
    writes = (
        replace(write(ChangeReason.RESTORED, 1, "@daily", of=live(1)), changed_by=("kubectl-edit",)),
        write(ChangeReason.RESTORED, 2, "@daily", of=live(2)),
        write(ChangeReason.PAUSED, 3, "@daily", of=live(3)),
        write(ChangeReason.RESUMED, 4, "@daily", of=live(4)),
    )
    plan = Plan(writes=writes, deletes=(Delete(live(5), ChangeReason.DUPLICATE),))
    assert [(line.action, line.reason) for line in report(replace(DECISION, plan=plan, held=())).lines] == [
        ("restore", "changed by kubectl-edit"),
        ("restore", "changed by somebody"),
        ("pause", "its CronJob's annotation region-tick.dev/paused"),
        ("resume", "nothing suspends it any more"),
        ("delete", "the region has an older one"),
    ]


def test_a_pause_that_ended_by_itself_says_when() -> None:
    over = replace(live(4), paused_until="2026-11-30T01:00:00Z", pause_over=True)
    [line] = report(
        replace(DECISION, plan=Plan(writes=(write(ChangeReason.RESUMED, 4, "@daily", of=over),)), held=())
    ).lines
    assert line.reason == "its pause ended at 2026-11-30T01:00:00Z"


def test_a_quota_that_is_not_ours_is_a_note() -> None:
    nothing = Decision(Plan(unchanged=3), (), allowance=10, state=GuardState())
    taken = report(nothing, problem="the ResourceQuota is not ours")
    assert not taken
    assert taken.notes == ("the ResourceQuota is not ours",)
    assert report(nothing).notes == ()


def test_a_hold_to_come_of_a_guard_that_does_not_know_the_past_says_so() -> None:
    state = GuardState(holds={Guarded.DELETION: HOLD}, unknown_before=HOLD.since)
    found = report(Decision(Plan(), (Delete(live(5)),), allowance=10, state=state))
    assert "deletions would be held: the RegionScheduler is younger than its CronJobs" in found.as_text()
    assert "the guard lets" not in found.as_text()
