"""plan/status.py: what a person and kstatus read from a RegionScheduler."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from region_operator.plan.changes import Delete, Guarded, Plan
from region_operator.plan.conditions import ReadyReason
from region_operator.plan.deletion_guard import Decision, guard_stops
from region_operator.plan.guard_memory import GuardState
from region_operator.plan.status import (
    Status,
    count_scheduled,
    status_after_failure,
    status_after_success,
    status_with_guard,
)
from region_operator.plan.summary import ReconcileSummary
from region_operator.plan.suspension import Suspension
from region_operator.regions.region import Quarantined
from region_operator.scheduler import DeletionGuard
from tests.harness.examples import PARIS, live_cronjob, scheduler

if TYPE_CHECKING:
    from region_operator.cronjobs.live import LiveCronJob

NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
UNCHANGED = ReconcileSummary(active=2, scheduled=2, quarantined=(), held={}, changed=False)


SUSPENSION = Suspension(by="ana", since=NOW - timedelta(hours=1), until=None, reason="x", moot=False)


def suspended(status: Status) -> dict[str, str]:
    """Return the condition Suspended, {} if it is absent."""
    found = [condition for condition in status["conditions"] if condition["type"] == "Suspended"]
    return {key: found[0][key] for key in ("reason", "message", "lastTransitionTime")} if found else {}


def ready(status: Status) -> dict[str, str]:
    [condition] = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    return {key: condition[key] for key in ("status", "reason", "message", "lastTransitionTime")}


def test_the_second_of_two_equal_outcomes_gives_an_equal_status() -> None:
    first = status_after_success(scheduler(), UNCHANGED, now=NOW)
    assert status_after_success(scheduler(status=first), UNCHANGED, now=LATER) == first


def test_only_a_change_moves_the_time_of_the_last_change() -> None:
    changed = ReconcileSummary(active=2, scheduled=2, quarantined=(), held={}, changed=True)
    first = status_after_success(scheduler(), changed, now=NOW)
    assert first["lastChangeTime"] == "2026-11-24T10:40:00Z"
    assert (
        status_after_success(scheduler(status=first), UNCHANGED, now=LATER)["lastChangeTime"] == "2026-11-24T10:40:00Z"
    )
    assert status_after_success(scheduler(status=first), changed, now=LATER)["lastChangeTime"] == "2026-11-24T10:45:00Z"


def test_while_spec_tick_is_refused_rows_are_counted_and_only_an_edit_helps() -> None:
    refused = status_after_success(scheduler(), replace(UNCHANGED, refusal="no such volume"), now=NOW)
    assert ready(refused) == {
        "status": "False",
        "reason": "InvalidSpec",
        "message": "no such volume; with the last good spec.tick 2 of 2 active regions are scheduled",
        "lastTransitionTime": "2026-11-24T10:40:00Z",
    }
    assert [condition["type"] for condition in refused["conditions"]] == ["Ready", "Stalled"]
    well = status_after_success(scheduler(status=refused), UNCHANGED, now=LATER)
    assert [condition["type"] for condition in well["conditions"]] == ["Ready"]


def test_a_failure_keeps_the_counts_and_says_since_when() -> None:
    well = status_after_success(scheduler(), UNCHANGED, now=NOW)
    ill = status_after_failure(scheduler(status=well), ReadyReason.DATABASE_UNAVAILABLE, "no route to host", now=LATER)
    assert ill["regions"] == well["regions"]
    assert ready(ill) == {
        "status": "False",
        "reason": "DatabaseUnavailable",
        "message": "no route to host",
        "lastTransitionTime": "2026-11-24T10:45:00Z",
    }


def test_a_transition_is_one_of_status_not_of_reason() -> None:
    quarantined = ReconcileSummary(
        active=2, scheduled=1, quarantined=[Quarantined("1", "R1", "bad")], held={}, changed=False
    )
    first = status_after_success(scheduler(), UNCHANGED, now=NOW)
    second = ready(status_after_success(scheduler(status=first), quarantined, now=LATER))
    assert (second["reason"], second["lastTransitionTime"]) == ("RegionsQuarantined", "2026-11-24T10:40:00Z")


def test_a_pause_whose_end_cannot_be_read_is_told() -> None:
    summary = replace(UNCHANGED, paused=1, pause_problem="paused without an end that can be read: R1")
    found = ready(status_after_success(scheduler(), summary, now=NOW))
    assert found["status"] == "True"
    assert found["message"].endswith("; 1 paused by annotation; paused without an end that can be read: R1")


def test_the_message_names_a_few_quarantined_regions_and_counts_the_rest() -> None:
    rows = [Quarantined(str(n), f"R{n}" if n else "", "bad cron") for n in range(5)]
    message = ready(
        status_after_success(
            scheduler(), ReconcileSummary(active=9, scheduled=4, quarantined=rows, held={}, changed=False), now=NOW
        )
    )["message"]
    assert message == (
        "4 of 9 active regions are scheduled; quarantined: 0: bad cron; R1: bad cron; R2: bad cron; and 2 more"
    )


@pytest.mark.parametrize("suspend", [False, True])
def test_the_message_says_that_the_operators_own_tables_are_left_alone(suspend: bool) -> None:
    condition = ready(
        status_after_success(
            scheduler(),
            replace(UNCHANGED, suspension=SUSPENSION if suspend else None, schema_conflict="too new: run 9"),
            now=NOW,
        )
    )
    assert (condition["status"], condition["reason"]) == ("True", "Suspended" if suspend else "InSync")
    assert condition["message"].endswith("; too new: run 9")


def test_what_another_installation_owns_is_no_readiness_and_said_first() -> None:
    taken = replace(UNCHANGED, taken="theirs is the owner")
    status = status_after_success(scheduler(), taken, now=NOW)
    assert (ready(status)["status"], ready(status)["reason"]) == ("False", "SourceTaken")
    assert ready(status)["message"].startswith("theirs is the owner; ")


def test_what_is_offered_to_other_shards_is_said_and_does_no_harm() -> None:
    status = status_after_success(
        scheduler(), replace(UNCHANGED, offer="192 of 256 slots are offered to other shards"), now=NOW
    )
    assert (ready(status)["status"], ready(status)["reason"]) == ("True", "InSync")
    assert "192 of 256 slots are offered to other shards" in ready(status)["message"]


def test_a_message_has_a_limit() -> None:
    rows = [Quarantined("1", "R1", "x" * 5000)]
    status = status_after_success(
        scheduler(), ReconcileSummary(active=1, scheduled=0, quarantined=rows, held={}, changed=False), now=NOW
    )
    assert len(ready(status)["message"]) == 1024


@pytest.mark.parametrize(
    ("reason", "kinds"), [(ReadyReason.INVALID_SPEC, ["Ready", "Stalled"]), (ReadyReason.APPLY_FAILED, ["Ready"])]
)
def test_only_what_a_user_must_mend_is_stalled(reason: ReadyReason, kinds: list[str]) -> None:
    status = status_after_failure(scheduler(), reason, "why", now=NOW)
    assert [condition["type"] for condition in status["conditions"]] == kinds


def overcommitted(status: Status) -> list[dict[str, str]]:
    return [condition for condition in status["conditions"] if condition["type"] == "Overcommitted"]


def test_overcommitment_is_a_condition_while_it_lasts_and_through_failures() -> None:
    lasting = replace(UNCHANGED, overcommitment="7,600 will be lost")
    first = status_after_success(scheduler(), lasting, now=NOW)
    [condition] = overcommitted(first)
    assert (condition["status"], condition["reason"]) == ("True", "TicksLost")
    assert condition["message"] == "7,600 will be lost"
    assert ready(first)["reason"] == "InSync"
    assert status_after_success(scheduler(status=first), lasting, now=LATER) == first
    failed = status_after_failure(scheduler(status=first), ReadyReason.APPLY_FAILED, "why", now=LATER)
    assert overcommitted(failed) == [condition]
    assert overcommitted(status_after_success(scheduler(status=failed), UNCHANGED, now=LATER)) == []


def test_a_hold_and_an_overcommitment_together_are_written_once() -> None:
    lasting = replace(UNCHANGED, overcommitment="7,600 will be lost", unfinished="1 had changed meanwhile")
    held = status_with_guard(scheduler(), lost("ab"), now=NOW)
    status = status_after_success(scheduler(status=held), lasting, now=NOW)
    decision = replace(lost("ab"), state=GuardState.from_status(status))
    assert status_with_guard(scheduler(status=status), decision, now=LATER) == status
    failed = status_after_failure(scheduler(status=status), ReadyReason.APPLY_FAILED, "why", now=LATER)
    assert status_with_guard(scheduler(status=failed), decision, now=LATER) == failed
    assert {condition["type"] for condition in status["conditions"]} == {
        "Ready",
        "Reconciling",
        "Overcommitted",
        "DeletionsHeld",
    }


def test_suspension_of_all_is_said() -> None:
    summary = replace(UNCHANGED, scheduled=0, suspension=SUSPENSION)
    first = status_after_success(scheduler(), summary, now=NOW)
    message = (
        "all 2 active regions are suspended by ana since 2026-11-24T09:40:00Z, until spec.suspend is set to false: x"
    )
    assert (ready(first)["reason"], ready(first)["message"]) == ("Suspended", message)
    assert suspended(first) == {"reason": "Suspend", "message": message, "lastTransitionTime": "2026-11-24T09:40:00Z"}
    away = status_after_failure(scheduler(status=first), ReadyReason.DATABASE_UNAVAILABLE, "no route", now=LATER)
    assert suspended(away) == suspended(first), "they stand still, whatever the database does"
    edited = replace(summary, suspension=replace(SUSPENSION, until=LATER + timedelta(hours=1)))
    second = suspended(status_after_success(scheduler(status=away), edited, now=LATER))
    assert (second["reason"], second["lastTransitionTime"]) == ("SuspendUntil", "2026-11-24T09:40:00Z")
    assert suspended(status_after_success(scheduler(status=first), UNCHANGED, now=LATER)) == {}


def test_ready_names_the_conditions_that_say_what_it_does_not() -> None:
    summary = replace(UNCHANGED, overcommitment="too much", clock_skew="too late")
    message = "2 of 2 active regions are scheduled; see the conditions Overcommitted, ClockSkew"
    assert ready(status_after_success(scheduler(), summary, now=NOW))["message"] == message
    alone = replace(UNCHANGED, deafness="nobody listens")
    assert ready(status_after_success(scheduler(), alone, now=NOW))["message"].endswith(
        "; see the condition EditsUnheard"
    )


def test_a_hold_beside_a_suspension_hides_neither() -> None:
    summary = replace(UNCHANGED, suspension=SUSPENSION, held={Guarded.DELETION: 2})
    status = status_after_success(scheduler(), summary, now=NOW)
    assert ready(status)["reason"] == "DeletionsHeld"
    assert suspended(status)


def lost(names: str) -> Decision:
    """Decide on the deletion of regions with names of one letter, none of which may go."""
    current = [live(name) for name in names]
    plan = Plan(deletes=tuple(map(Delete, current)))
    guard = DeletionGuard(max_count=0, max_percent=0)
    return guard_stops(plan, current, guard=guard, state=GuardState(), approval="", now=NOW)


def live(name: str) -> LiveCronJob:
    return replace(live_cronjob(f"r-{name}", uid=name, code=name.upper()), key=name)


def held(status: Status) -> str | None:
    """Return the message of DeletionsHeld, None where it does not stand."""
    return next((item["message"] for item in status.get("conditions", []) if item["type"] == "DeletionsHeld"), None)


def test_a_hold_is_a_condition_that_says_how_to_approve_it() -> None:
    status = status_with_guard(scheduler(), lost("abcde"), now=NOW)
    message = held(status)
    assert message
    assert message.startswith("deletions held: A, B, C and 2 more; ")
    assert message.endswith(
        "kubectl annotate regionscheduler default -n region-tick --overwrite"
        f" region-tick.dev/approve-deletions={status['heldDeletions']['approval']}"
    )


def test_a_hold_outlasts_failures_and_ends_with_its_cause() -> None:
    on_hold = status_with_guard(scheduler(), lost("abcde"), now=NOW)
    ill = status_after_failure(
        scheduler(status=on_hold), ReadyReason.DATABASE_UNAVAILABLE, "no route to host", now=LATER
    )
    well = status_after_success(
        scheduler(status=ill),
        ReconcileSummary(active=0, scheduled=0, quarantined=(), held={Guarded.DELETION: 5}, changed=False),
        now=LATER,
    )
    assert held(ill) == held(well) == held(on_hold)
    assert ready(well)["reason"] == "DeletionsHeld"
    assert well["regions"]["held"] == 5
    over = status_with_guard(scheduler(status=well), lost(""), now=LATER)
    assert held(over) is None
    assert "heldDeletions" not in over


def test_a_hold_that_lasts_gives_an_equal_status() -> None:
    first = status_with_guard(scheduler(), lost("abcde"), now=NOW)
    assert status_with_guard(scheduler(status=first), lost("abcde"), now=LATER) == first


def test_an_approval_that_approves_nothing_is_said() -> None:
    object_with_it = scheduler().model_copy(update={"approval": "0123456789ab"})
    assert "approval 0123456789ab is of other regions" in str(
        held(status_with_guard(object_with_it, lost("a"), now=NOW))
    )


def test_without_anything_to_remember_nothing_is_written() -> None:
    assert status_with_guard(scheduler(), lost(""), now=NOW) == {}


def test_what_is_unfinished_is_said_as_long_as_it_is() -> None:
    some = replace(UNCHANGED, unfinished="1 had changed meanwhile")
    first = status_after_success(scheduler(), some, now=NOW)
    assert first["conditions"][0]["message"].endswith("are scheduled; 1 had changed meanwhile")
    [reconciling] = [condition for condition in first["conditions"] if condition["type"] == "Reconciling"]
    assert (reconciling["status"], reconciling["reason"], reconciling["message"]) == (
        "True",
        "Unfinished",
        "1 had changed meanwhile",
    )
    second = scheduler(status=first)
    assert status_after_success(second, some, now=LATER) == first
    assert [condition["type"] for condition in status_after_success(second, UNCHANGED, now=LATER)["conditions"]] == [
        "Ready"
    ]
    assert [
        condition["type"]
        for condition in status_after_failure(second, ReadyReason.INTERNAL, "", now=LATER)["conditions"]
    ] == ["Ready"]


def test_a_quota_that_is_not_ours_is_said_and_quarantine_named_first() -> None:
    taken = replace(UNCHANGED, quota_conflict="the ResourceQuota is not ours")
    [ready] = status_after_success(scheduler(), taken, now=NOW)["conditions"]
    assert (ready["status"], ready["reason"]) == ("True", "QuotaTaken")
    assert ready["message"].endswith("; the ResourceQuota is not ours")
    [ready] = status_after_success(scheduler(), replace(taken, quarantined=[Quarantined("1", "R1", "bad")]), now=NOW)[
        "conditions"
    ]
    assert ready["reason"] == "RegionsQuarantined"
    assert "not ours" in ready["message"]


def test_a_clock_skew_is_a_condition_only_while_true_and_a_failure_keeps_it() -> None:
    skewed = status_after_success(scheduler(), replace(UNCHANGED, clock_skew="5 min ahead"), now=NOW)
    [condition] = [one for one in skewed["conditions"] if one["type"] == "ClockSkew"]
    assert (condition["status"], condition["reason"]) == ("True", "ClocksDiffer")
    assert condition["message"] == "5 min ahead"
    failed = status_after_failure(scheduler(status=skewed), ReadyReason.DATABASE_UNAVAILABLE, "away", now=LATER)
    assert condition in failed["conditions"]
    well = status_after_success(scheduler(status=failed), UNCHANGED, now=LATER)
    assert [one["type"] for one in well["conditions"]] == ["Ready"]


def test_what_is_scheduled_has_a_cronjob_that_ticks() -> None:
    rows = [replace(PARIS, id=name) for name in ("ticks", "paused", "going", "held")] + [
        Quarantined("runs on", "R", "")
    ]
    lives = [
        replace(live_cronjob(f"r-{number}", region_id=region_id), ours=True)
        for number, region_id in enumerate(("ticks", "ticks", "runs on", "without a row"))
    ]
    lives += [
        replace(live_cronjob("r-9", region_id="paused", suspended=True), ours=True),
        replace(live_cronjob("r-8", region_id="going", terminating=True), ours=True),
        live_cronjob("foreign", region_id="held"),
    ]
    assert count_scheduled(rows, lives) == 2
