"""Who leads, as the operators themselves say, the Lease, and the API server's audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from region_operator.kube.leader_election import POLL_SECONDS
from region_operator.kube.lease_record import LEASE_SECONDS
from tests.harness.audit import audit_lines, sent_by
from tests.harness.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devcluster.local import LocalCluster
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess


TAKE_OVER_SECONDS = LEASE_SECONDS + 2 * max(POLL_SECONDS) + 10
"""The Lease's duration, a look until the last renewal is seen, another until the end is, and a busy machine."""


def leads(operator: OperatorProcess) -> bool:
    return operator.metric("region_operator_leader") == 1


def wait_until_it_leads(operator: OperatorProcess, *, seconds: float = PATIENCE_SECONDS) -> None:
    eventually(lambda: leads(operator), what="it leads", seconds=seconds)


def identity(operator: OperatorProcess) -> str:
    return str(operator.logged("starting")[0]["identity"])


def holder(kubectl: Kubectl) -> str:
    return str(kubectl.get("lease", "region-operator")["spec"].get("holderIdentity", ""))


def wait_for_renewal(kubectl: Kubectl) -> None:
    version = kubectl.get("lease", "region-operator")["metadata"]["resourceVersion"]
    eventually(
        lambda: kubectl.get("lease", "region-operator")["metadata"]["resourceVersion"] != version, what="a renewal"
    )


def assert_they_wrote_in_turn(
    cluster: LocalCluster,
    kubectl: Kubectl,
    operators: Sequence[OperatorProcess],
    *,
    late: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Each began to write, which is to take the Lease, after the one before it had its last answer, and nobody else
    did; by the API server's clock. Returns what they wrote, without what is known to be late.
    """
    lines = [line for line in audit_lines(cluster, kubectl.namespace) if sent_by(line) and not _lost_a_race(line)]
    identities = [identity(operator) for operator in operators]
    terms = []
    for name in identities:
        own = [line for line in lines if sent_by(line, name) and line not in late]
        times = [(line["requestReceivedTimestamp"], line["stageTimestamp"]) for line in own]
        terms.append((min(began for began, _ in times), max(ended for _, ended in times)))
        assert own[0]["objectRef"]["resource"] == "leases"
    moments = [moment for term in terms for moment in term]
    assert moments == sorted(moments)
    assert all(any(sent_by(line, name) for name in identities) for line in lines)
    return [line for line in lines if line not in late]


def _lost_a_race(line: dict[str, Any]) -> bool:
    """Whether it is an attempt at the Lease by one who came too late."""
    return bool(line["objectRef"]["resource"] == "leases" and line["responseStatus"]["code"] == 409)
