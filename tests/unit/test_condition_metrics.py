"""runtime/condition_metrics.py: what Prometheus reads of a status."""

from __future__ import annotations

from datetime import UTC, datetime

from region_operator.plan.conditions import ReadyReason
from region_operator.plan.status import status_after_failure
from region_operator.runtime.condition_metrics import ConditionMetrics
from tests.harness.examples import scheduler


def served(metrics: ConditionMetrics) -> dict[tuple[str, str, str], float]:
    family, _ = metrics.collect()
    return {
        (sample.labels["type"], sample.labels["status"], sample.labels["reason"]): sample.value
        for sample in family.samples
    }


def test_each_condition_is_served_with_its_reason_and_goes_with_it() -> None:
    metrics = ConditionMetrics()
    assert served(metrics) == {}
    status = status_after_failure(scheduler(), ReadyReason.INVALID_SPEC, "why", now=datetime.now(UTC))
    metrics.show(status["conditions"])
    assert served(metrics) == {("Ready", "False", "InvalidSpec"): 1, ("Stalled", "True", "InvalidSpec"): 1}
    metrics.show([])
    assert served(metrics) == {}


def test_since_when_a_condition_has_its_status_is_served_in_unix_time() -> None:
    metrics, at = ConditionMetrics(), datetime(2026, 11, 30, 1, 5, tzinfo=UTC)
    metrics.show(status_after_failure(scheduler(), ReadyReason.INVALID_SPEC, "why", now=at)["conditions"])
    _, family = metrics.collect()
    found = {sample.labels["type"]: sample.value for sample in family.samples}
    assert found == dict.fromkeys(("Ready", "Stalled"), at.timestamp())
