"""Whatever happens to the database: regions tick on, the status says what is wrong, and nobody has to help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.causes import AWAY, FAULTS, Fault, pooled
from tests.harness.audit import audit_lines, sent_by
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.faults.site import Site
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess

MEMORY_GROWTH = 1.25


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_of_the_database_is_outlived(
    fault: Fault, site: Site, run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster
) -> None:
    environment = {"DATABASE_URL_FILE": str(site.url_file), "REGION_REFRESH_INTERVAL_MS": "1000"}
    if fault.way is pooled:
        environment["DATABASE_DIRECT_URL"] = site.url
    with fault.way(site) as way, run_operator(**environment) as operator:
        settle(operator, kubectl)
        before, memory = kubectl.cronjobs(), operator.memory
        assert len(before) == 20
        mark = control_plane.audit_log.stat().st_size

        with fault.cause(site, way):
            expect_the_truth(fault, operator, kubectl)
            assert operator.get("/healthz") == (200, "ok\n")
            assert identities(kubectl.cronjobs()) == identities(before)

        site.sql("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1'")
        site.sql("DELETE FROM region_index WHERE code = 'R20'")
        site.add_regions(["R21"], cron="@daily")
        wanted = {f"R{number}": "*/5 * * * *" for number in range(2, 20)} | {"R1": "@hourly", "R21": "@daily"}
        eventually(lambda: schedules(kubectl.cronjobs()) == wanted, what="it converges by itself", seconds=60)
        eventually(lambda: kubectl.ready()["status"] == "True", what="the status is well again")
        go_on(operator)
        assert bool(operator.logged("reconciled again")) is bool(operator.logged("not reconciled"))
        assert fault.reason is None or operator.logged("reconciled again")
        code, text = operator.get("/readyz")
        assert code == 200
        assert "schema revision: " in text
        assert site.password not in text
        assert "127.0.0.1" not in text
        assert operator.running
        assert operator.memory < MEMORY_GROWTH * memory
        assert [line for line in operator.lines if line["level"] in ("error", "critical")] == []

    removed = before["R20"]["metadata"]["name"]
    changes = [line for line in audit_lines(control_plane, kubectl.namespace, since=mark) if sent_by(line)]
    changes = [line for line in changes if line["objectRef"]["resource"] == "cronjobs"]
    assert [line["objectRef"]["name"] for line in changes if line["verb"] == "delete"] == [removed]
    assert len(changes) == 3


def settle(operator: OperatorProcess, kubectl: Kubectl) -> None:
    """Wait until all is done and the memory that an operator needs has been taken."""
    eventually(lambda: kubectl.ready().get("status") == "True", what="a first reconcile", seconds=60)
    eventually(lambda: operator.logged("listening"), what="it listens")
    go_on(operator)


def go_on(operator: OperatorProcess) -> None:
    """Wait for reconciles."""
    so_far = operator.reconciles
    eventually(lambda: operator.reconciles >= so_far + 3, what="reconciles go on", seconds=90)


def expect_the_truth(fault: Fault, operator: OperatorProcess, kubectl: Kubectl) -> None:
    """Wait until status and readiness tell of the fault, or that there is nothing to tell."""
    if fault.reason is None:
        go_on(operator)
        assert kubectl.ready()["status"] == "True"
        return
    eventually(lambda: failures(operator, fault) >= fault.failures, what="it tries again and again", seconds=90)
    ready = kubectl.ready()
    assert (ready["status"], ready["reason"]) == ("False", fault.reason)
    code, text = operator.get("/readyz")
    assert code == 503
    for word in fault.words:
        assert word in ready["message"]
        assert word in text or fault.reason is AWAY
    assert "127.0.0.1" not in text


def failures(operator: OperatorProcess, fault: Fault) -> float:
    return operator.metric("region_operator_reconciles_total", reason=str(fault.reason))


def identities(cronjobs: dict[str, dict[str, Any]]) -> dict[str, tuple[str, int]]:
    """Return what changes when somebody replaces or edits a CronJob, but not when its controller starts a tick."""
    return {code: (item["metadata"]["uid"], item["metadata"]["generation"]) for code, item in cronjobs.items()}


def schedules(cronjobs: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {code: item["spec"]["schedule"] for code, item in cronjobs.items()}
