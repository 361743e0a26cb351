"""kubectl_region/checks.py: what the conditions of a RegionScheduler come to, in the operator's own words."""

from __future__ import annotations

from typing import Any

from kubectl_region.checks import Check, Result, Right, explain_conditions


def scheduler(*conditions: tuple[str, str, str], seen: int = 3) -> dict[str, Any]:
    items = [{"type": kind, "status": state, "reason": "R", "message": text} for kind, state, text in conditions]
    return {"metadata": {"generation": 3}, "status": {"observedGeneration": seen, "conditions": items}}


def test_all_is_well() -> None:
    assert list(explain_conditions(scheduler(("Ready", "True", "all")))) == [
        Check("RegionScheduler", Result.OK, "R: all"),
        Check("trigger", Result.OK, "no condition EditsUnheard"),
        Check("clocks", Result.OK, "no condition ClockSkew"),
    ]


def test_each_condition_is_told_in_its_words() -> None:
    conditions = [("Ready", "True", "all"), ("EditsUnheard", "True", "deaf"), ("DeletionsHeld", "True", "held")]
    found = [check for check in explain_conditions(scheduler(*conditions)) if check.result is not Result.OK]
    assert found == [Check("trigger", Result.WARN, "R: deaf"), Check("DeletionsHeld", Result.WARN, "R: held")]


def test_a_failure_is_told_once_and_leaves_the_rest_unknown() -> None:
    found = list(explain_conditions(scheduler(("Ready", "False", "away"), ("Stalled", "True", "away"))))
    assert found == [Check("RegionScheduler", Result.FAIL, "R: away")]


def test_an_operator_that_does_not_look() -> None:
    assert [check.result for check in explain_conditions({"metadata": {}, "status": {}})] == [Result.FAIL]
    found = list(explain_conditions(scheduler(("Ready", "True", "all"), seen=2)))
    assert found[1] == Check(
        "spec", Result.WARN, "the operator has seen generation 2 of 3", "see whether the operator runs"
    )


def test_a_right_is_asked_for_with_its_subresource_and_name() -> None:
    right = Right("get", "", "services/proxy", "http:x:http")
    assert str(right) == "get services/proxy http:x:http"
    assert right.review("ns")["spec"]["resourceAttributes"] == {
        "namespace": "ns",
        "verb": "get",
        "group": "",
        "resource": "services",
        "subresource": "proxy",
        "name": "http:x:http",
    }
