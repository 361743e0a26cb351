"""manifests/gitops/argocd-cm.yaml: what Argo CD calls the health of a RegionScheduler, by its own Lua (gopher-lua)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from region_operator.plan.changes import Guarded
from region_operator.plan.conditions import HELD, NOT_FOLLOWED, ReadyReason
from region_operator.plan.status import status_after_failure, status_after_success, status_while_applying
from region_operator.plan.summary import ReconcileSummary
from region_operator.plan.suspension import suspension_of
from tests.harness.argocd_lua import run, script
from tests.harness.examples import scheduler

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
GENERATION = scheduler().generation
IN_SYNC = ReconcileSummary(active=2, scheduled=2, quarantined=(), held={}, changed=False)


def ask(*statuses: dict[str, Any] | None, **metadata: object) -> list[Any]:
    """Return what the check says of RegionSchedulers with these statuses."""
    shared = {"metadata": {"name": "default", "generation": GENERATION, **metadata}, "spec": {}}
    objects = [shared | ({"status": status} if status is not None else {}) for status in statuses]
    return run(script("health"), *objects)


def health(status: dict[str, Any] | None, **metadata: object) -> tuple[str, str]:
    """Return the health and the message of one RegionScheduler."""
    [answer] = ask(status, **metadata)
    return answer["status"], answer["message"]


def succeeded(**found: Any) -> dict[str, Any]:
    return status_after_success(scheduler(), replace(IN_SYNC, **found), now=NOW)


def test_what_is_in_sync_is_healthy() -> None:
    assert health(succeeded()) == ("Healthy", "InSync: 2 of 2 active regions are scheduled")


def test_what_was_never_reconciled_is_under_way() -> None:
    for answer in ask(None, {}, {"observedGeneration": GENERATION}, {"observedGeneration": GENERATION - 1}):
        assert answer["status"] == "Progressing"


def test_an_edit_is_under_way_until_it_is_reconciled() -> None:
    assert health(succeeded(), generation=GENERATION + 1)[0] == "Progressing"


def test_what_is_being_deleted_is_under_way() -> None:
    assert health(succeeded(), deletionTimestamp="2026-11-29T14:00:00Z") == ("Progressing", "is being deleted")


def test_a_long_plan_is_under_way_and_says_how_far() -> None:
    status = status_while_applying(scheduler(status=succeeded()), done=7, total=9, now=NOW)
    assert health(status) == ("Progressing", "Unfinished: 7 of 9 changes are made")


def test_a_failure_is_degraded_and_says_why() -> None:
    failures = [status_after_failure(scheduler(), reason, "why", now=NOW) for reason in ReadyReason]
    answers = [{"status": "Degraded", "message": f"{reason}: why"} for reason in ReadyReason]
    assert ask(*failures) == answers


def test_of_what_is_held_that_is_degraded_which_is_not_followed() -> None:
    held = {HELD[kind]: succeeded(held={kind: 1}) for kind in Guarded}
    for condition, answer in zip(held, ask(*held.values()), strict=True):
        assert answer["status"] == ("Degraded" if ReadyReason(condition.value) in NOT_FOLLOWED else "Healthy")
        assert answer["message"].startswith(f"{condition.value}: ")


def test_what_is_suspended_by_its_spec_is_suspended() -> None:
    suspension = suspension_of(scheduler(suspend=True), now=NOW)
    message = f"Suspended: all 2 active regions are suspended {suspension}"
    assert health(succeeded(suspension=suspension)) == ("Suspended", message)


def test_a_refused_spec_is_degraded_also_while_a_plan_is_carried_out() -> None:
    refused = succeeded(refusal="no such volume")
    assert health(status_while_applying(scheduler(status=refused), done=7, total=9, now=NOW))[0] == "Degraded"
