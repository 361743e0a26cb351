"""manifests/gitops/flux: what a real Flux calls the health of a RegionScheduler, for each of its conditions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from region_operator.plan.changes import Guarded
from region_operator.plan.conditions import HELD, NOT_FOLLOWED, ReadyReason
from region_operator.plan.status import status_after_failure, status_after_success, status_while_applying
from region_operator.plan.summary import ReconcileSummary
from tests.gitops.flux_site import regionscheduler
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from tests.gitops.flux_site import FluxSite

pytestmark = pytest.mark.gitops

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
IN_SYNC = ReconcileSummary(active=2, scheduled=2, quarantined=(), held={}, changed=False)
HEALTHY = "Applied revision"
FAILED = "failed early due to stalled resources: [RegionScheduler/{}/default status: 'Failed']"
UNDER_WAY = "timeout waiting for: [RegionScheduler/{}/default status: 'InProgress']"


SHORTEST_TIMEOUT = "30s"
"""Flux takes a shorter one for this one (kustomize-controller, GetTimeout)."""


def succeeded(**found: Any) -> dict[str, Any]:
    return status_after_success(scheduler(), replace(IN_SYNC, **found), now=NOW)


def table() -> dict[str, tuple[dict[str, Any], str]]:
    """Return the statuses, of the generation that the RegionScheduler has, and what Flux says of each."""
    failures = {
        f"failed-{reason.lower()}": (status_after_failure(scheduler(), reason, "why", now=NOW), FAILED)
        for reason in ReadyReason
    }
    held = {
        f"held-{kind.name.lower()}": (
            succeeded(held={kind: 1}),
            FAILED if ReadyReason(condition.value) in NOT_FOLLOWED else HEALTHY,
        )
        for kind, condition in HELD.items()
    }
    refused = succeeded(refusal="no such volume")
    suspended = status_after_success(scheduler(suspend=True), IN_SYNC, now=NOW)
    applying = status_while_applying(scheduler(status=succeeded()), done=7, total=9, now=NOW)
    stalled = status_while_applying(scheduler(status=refused), done=7, total=9, now=NOW)
    return {
        **failures,
        **held,
        "in-sync": (succeeded(), HEALTHY),
        "suspended": (suspended, HEALTHY),
        "long-plan": (applying, UNDER_WAY),
        "refused": (refused, FAILED),
        "refused-in-a-long-plan": (stalled, FAILED),
        "no-conditions": ({}, UNDER_WAY),
    }


def install(site: FluxSite, row: str, status: dict[str, Any] | None) -> str:
    """Have a RegionScheduler with a status in a namespace of its own. Return the namespace."""
    namespace = f"{site.kubectl.namespace}-{row}"
    body = yaml.safe_load(regionscheduler()["regions/regionscheduler.yaml"])
    body["metadata"]["namespace"] = namespace
    site.kubectl("create", "namespace", namespace)
    site.kubectl("create", "--namespace", namespace, "-f", "-", stdin=json.dumps(body))
    if status is not None:
        patch = json.dumps({"status": status})
        site.kubectl(
            "patch", "rsched", "default", "--namespace", namespace, "--subresource=status", "--type=merge", "-p", patch
        )
    return namespace


def test_each_condition_has_its_health(site: FluxSite) -> None:
    assert set(Guarded) == HELD.keys()
    rows = {row: (status | {"observedGeneration": 1}, says) for row, (status, says) in table().items()}
    rows["an-edit"] = (succeeded() | {"observedGeneration": 0}, UNDER_WAY)
    rows["not-observed"] = (rows["in-sync"][0] | {"observedGeneration": None}, UNDER_WAY)
    wanted = {row: (install(site, row, status), says) for row, (status, says) in rows.items()}
    wanted["no-status"] = (install(site, "no-status", None), UNDER_WAY)
    digest = site.release(regionscheduler())
    for row, (namespace, _) in wanted.items():
        site.keep(row, targetNamespace=namespace, timeout=SHORTEST_TIMEOUT, retryInterval="1h")
    for row, (namespace, says) in wanted.items():
        assert says.format(namespace) in site.outcome(digest, row, seconds=120)["message"], row


def test_without_the_rules_flux_waits_for_what_has_failed(site: FluxSite) -> None:
    status = status_after_failure(scheduler(), ReadyReason.SOURCE_UNREADABLE, "why", now=NOW)
    namespace = install(site, "failed", status | {"observedGeneration": 1})
    digest = site.release(regionscheduler())
    site.keep(targetNamespace=namespace, timeout=SHORTEST_TIMEOUT, healthCheckExprs=[])
    assert UNDER_WAY.format(namespace) in site.outcome(digest)["message"]
