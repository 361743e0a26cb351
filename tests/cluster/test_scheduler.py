"""crds/regionscheduler.yaml on a real API server: a value out of bounds is refused, and the message names the bound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.scheduler import API_VERSION, DEFAULT_NAME, KIND, Scheduler

if TYPE_CHECKING:
    from tests.harness.kubectl import Kubectl

EXAMPLE = Path(__file__).parents[2] / "examples" / "regionscheduler.yaml"


@pytest.fixture
def rsched(kubectl: Kubectl) -> Kubectl:
    """kubectl in a namespace with a RegionScheduler that says nothing."""
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": DEFAULT_NAME}}
    kubectl("create", "-f", "-", stdin=json.dumps(body))
    return kubectl


def refusal(kubectl: Kubectl, tick: dict[str, Any]) -> str:
    """Return why the API server refuses a change of spec.tick, or an empty text if it accepts the change."""
    patch = json.dumps({"spec": {"tick": tick}})
    return kubectl.fails("patch", "rsched", DEFAULT_NAME, "--type", "merge", "--dry-run=server", "--patch", patch)


def test_how_long_failed_jobs_are_kept_has_bounds_and_the_refusal_names_them(rsched: Kubectl) -> None:
    assert "greater than or equal to 1" in refusal(rsched, {"failedJobsHistoryLimit": 0})
    assert "less than or equal to 10" in refusal(rsched, {"failedJobsHistoryLimit": 11})
    assert "must be at least 5m" in refusal(rsched, {"ttl": "299s"})
    assert "must be at most 8760h" in refusal(rsched, {"ttl": "8761h"})
    assert "spec.tick.ttl" in refusal(rsched, {"ttl": "1d"})
    for accepted in ({"failedJobsHistoryLimit": 10, "ttl": "5m"}, {"failedJobsHistoryLimit": 1, "ttl": "8760h"}):
        assert not refusal(rsched, accepted)


def test_the_defaults_of_the_schema_are_those_of_the_models(rsched: Kubectl) -> None:
    body = rsched.scheduler()
    assert (body["spec"]["tick"]["failedJobsHistoryLimit"], body["spec"]["tick"]["ttl"]) == (1, "24h")
    bare = body | {"spec": {}}
    assert Scheduler.from_object(body).spec == Scheduler.from_object(bare).spec


def test_the_example_is_accepted_as_it_is(kubectl: Kubectl) -> None:
    example = EXAMPLE.read_text().replace("namespace: region-tick", f"namespace: {kubectl.namespace}")
    kubectl("apply", "-f", "-", stdin=example)
    assert kubectl.scheduler()["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
