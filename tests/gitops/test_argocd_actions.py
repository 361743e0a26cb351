"""manifests/gitops/argocd-cm.yaml: which actions Argo CD offers for a RegionScheduler, and what each of them edits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml

from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import GuardState, Hold
from region_operator.scheduler import APPROVAL_ANNOTATION
from tests.harness.argocd_lua import run, script

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
ACTIONS = yaml.safe_load(script("actions"))
BY_NAME = {definition["name"]: definition["action.lua"] for definition in ACTIONS["definitions"]}


def scheduler(*held: Guarded, **spec: object) -> dict[str, Any]:
    """Return a RegionScheduler whose status holds such changes."""
    state = GuardState(holds={kind: Hold(NOW, frozenset({"a"}), kind) for kind in held})
    return {"metadata": {"name": "default"}, "spec": {"concurrency": 4, **spec}, "status": state.to_status()}


def offered(found: dict[str, Any]) -> set[str]:
    [actions] = run(ACTIONS["discovery.lua"], found)
    assert actions.keys() == BY_NAME.keys()
    return {name for name, action in actions.items() if not action["disabled"]}


def test_what_can_be_done_is_offered() -> None:
    assert offered(scheduler()) == {"pause"}
    assert offered(scheduler(suspend=True)) == {"resume"}
    assert offered({"metadata": {}, "spec": []}) == {"pause"}
    for kind in Guarded:
        assert offered(scheduler(kind)) == {"pause", "approve"}


def test_pause_and_resume_edit_nothing_but_spec_suspend() -> None:
    [paused] = run(BY_NAME["pause"], scheduler())
    assert paused["spec"] == {"concurrency": 4, "suspend": True}
    [resumed] = run(BY_NAME["resume"], paused)
    assert resumed["spec"] == {"concurrency": 4, "suspend": False}


def test_approve_names_every_hold_of_the_moment_and_the_operator_understands_it() -> None:
    held = scheduler(*Guarded)
    held["metadata"]["annotations"] = {"of": "others", APPROVAL_ANNOTATION: "earlier"}
    [approved] = run(BY_NAME["approve"], held)
    assert approved["metadata"]["annotations"].keys() == {"of", APPROVAL_ANNOTATION}
    state = GuardState.from_status(held["status"])
    for kind in Guarded:
        assert state.is_approved(kind, approved["metadata"]["annotations"][APPROVAL_ANNOTATION]) == {"a"}


def test_approve_of_one_hold_approves_no_other() -> None:
    for kind in Guarded:
        [approved] = run(BY_NAME["approve"], scheduler(kind))
        assert approved["metadata"]["annotations"] == {APPROVAL_ANNOTATION: Hold(NOW, frozenset({"a"}), kind).approval}


def test_where_nothing_is_held_approve_edits_nothing() -> None:
    [untouched] = run(BY_NAME["approve"], {"metadata": {"name": "default"}})
    assert untouched == {"metadata": {"name": "default"}}
