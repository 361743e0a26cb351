"""manifests/gitops/argocd-cm.yaml: which actions Argo CD offers for a RegionScheduler, and what each of them edits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml

from region_operator.cronjobs.labels import region_key
from region_operator.plan.changes import Guarded
from region_operator.plan.guard_memory import GuardState, Hold, RegionKeys
from region_operator.scheduler import APPROVAL_ANNOTATION
from tests.harness.argocd_lua import run, script

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
ACTIONS = yaml.safe_load(script("actions"))
BY_NAME = {definition["name"]: definition["action.lua"] for definition in ACTIONS["definitions"]}


REGIONS = frozenset({region_key("a")})


def approve(kind: Guarded) -> str:
    """Return the name of the action that approves changes of a kind."""
    return f"approve-{kind}s"


def scheduler(*held: Guarded, regions: RegionKeys = REGIONS, **spec: object) -> dict[str, Any]:
    """Return a RegionScheduler whose status holds such changes."""
    state = GuardState(holds={kind: Hold(NOW, regions, kind) for kind in held})
    return {"metadata": {"name": "default"}, "spec": {"concurrency": 4, **spec}, "status": state.to_status()}


def discovered(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the user interface shows of each action."""
    [actions] = run(ACTIONS["discovery.lua"], found)
    assert actions.keys() == BY_NAME.keys()
    shown: dict[str, dict[str, Any]] = actions
    return shown


def offered(found: dict[str, Any]) -> set[str]:
    return {name for name, action in discovered(found).items() if not action["disabled"]}


def test_what_can_be_done_is_offered() -> None:
    assert offered(scheduler()) == {"pause"}
    assert offered(scheduler(suspend=True)) == {"resume"}
    assert offered({"metadata": {}, "spec": []}) == {"pause"}
    ends = scheduler(suspendUntil="2026-11-30T06:00:00Z")
    ends["status"] = {"conditions": [{"type": "Ready"}, {"type": "Suspended"}]}
    assert offered(ends) == {"pause", "resume"}, "without an end, or at once"
    for kind in Guarded:
        assert offered(scheduler(kind)) == {"pause", approve(kind)}


def test_an_approval_says_of_what_and_of_how_many_it_is() -> None:
    assert {discovered(scheduler())[approve(kind)]["displayName"] for kind in Guarded} == {
        f"Approve {kind}s" for kind in Guarded
    }
    for kind in Guarded:
        for count, text in ((1, f"Approve 1 {kind}"), (2, f"Approve 2 {kind}s"), (1000, f"Approve 1000 {kind}s")):
            held = scheduler(kind, regions=frozenset(region_key(str(number)) for number in range(count)))
            assert discovered(held)[approve(kind)]["displayName"] == text


def test_pause_and_resume_edit_nothing_but_spec_suspend() -> None:
    [paused] = run(BY_NAME["pause"], scheduler())
    assert paused["spec"] == {"concurrency": 4, "suspend": True}
    [resumed] = run(BY_NAME["resume"], paused)
    assert resumed["spec"] == {"concurrency": 4, "suspend": False}
    [resumed] = run(BY_NAME["resume"], scheduler(suspendUntil="2026-11-30T06:00:00Z"))
    assert resumed["spec"] == {"concurrency": 4, "suspend": False}


def test_an_approval_is_of_one_kind_and_the_operator_understands_it() -> None:
    held = scheduler(*Guarded)
    held["metadata"]["annotations"] = {"of": "others", APPROVAL_ANNOTATION: "earlier"}
    state = GuardState.from_status(held["status"])
    for kind in Guarded:
        [approved] = run(BY_NAME[approve(kind)], held)
        assert approved["metadata"]["annotations"].keys() == {"of", APPROVAL_ANNOTATION}
        text = approved["metadata"]["annotations"][APPROVAL_ANNOTATION]
        assert {other: state.is_approved(other, text) for other in Guarded} == {
            other: REGIONS if other is kind else frozenset() for other in Guarded
        }


def test_where_nothing_is_held_an_approval_edits_nothing() -> None:
    for kind in Guarded:
        [untouched] = run(BY_NAME[approve(kind)], {"metadata": {"name": "default"}})
        assert untouched == {"metadata": {"name": "default"}}
