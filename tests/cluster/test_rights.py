"""manifests/namespaced/rbac.yaml: the operator asks for no right that it has not, and has none that it never asks for.

Every other test of an operator shows the first, because each operator runs with these rights. Here one operator does
everything that it ever does, and the audit log says which rights that took.
"""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from tests.cluster.jobs import end
from tests.harness.audit import Right, rights_used
from tests.harness.operator_rights import ACCOUNT, rbac
from tests.harness.regions import EVERY_MINUTE
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions


ON_OLDER_SERVERS = {Right("batch", "jobs", "list")}
"""What a server that streams lists is never asked for (Kubernetes, API concepts, streaming lists)."""


def granted() -> set[Right]:
    [role] = [item for item in json.loads(rbac()) if item["kind"] == "Role"]
    return {
        Right(group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_what_the_role_grants_is_what_the_operator_uses(
    run_operator: RunOperator,
    kubectl: Kubectl,
    control_plane: LocalCluster,
    database: str,
    sql: Any,
    add_regions: AddRegions,
) -> None:
    add_regions(5, cron=EVERY_MINUTE)
    with run_operator(CONCURRENCY="1") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="five CronJobs", seconds=60)
        sql("UPDATE region_index SET cron_schedule = 'nonsense' WHERE code = 'R5'")
        for generation in range(3):
            before = revisions(kubectl)
            tick = {"env": [{"name": "GENERATION", "value": str(generation)}]}
            kubectl("patch", "rsched", "default", "--type=merge", "--patch", json.dumps({"spec": {"tick": tick}}))
            eventually(partial(has_other_revisions, kubectl, before), what="spec.tick is taken")
        jobs = eventually(lambda: fourth(kubectl.get("jobs")["items"]), what="the ticks of a minute", seconds=90)
        [running] = eventually(lambda: kubectl.get("pods")["items"], what="one of them has the slot")
        with_slot: str = running["metadata"]["labels"]["batch.kubernetes.io/job-name"]
        kubectl("delete", "job", next(job for job in jobs if job != with_slot))
        end(kubectl, with_slot, "Failed", os.EX_CONFIG)
        eventually(lambda: len(kubectl.get("pods")["items"]) > 1, what="another has the slot", seconds=60)
        wanted = {"pod failed", "capacity"}
        eventually(
            lambda: len(found := reasons(database)) >= 3 and {*found} >= wanted, what="they are on record", seconds=120
        )
        sql("DELETE FROM region_index WHERE code = 'R4'")
        eventually(lambda: "R4" not in kubectl.cronjobs(), what="a CronJob is deleted")
        assert operator.stop() == 0
    used = eventually(lambda: used_to_the_end(control_plane, kubectl), what="the audit log has the last watch")
    assert {right for right, answers in used.items() if False in answers} == set()
    assert used.keys() - granted() == set()
    assert granted() - used.keys() <= ON_OLDER_SERVERS


def fourth(jobs: list[dict[str, Any]]) -> list[str]:
    """Return the names of four Jobs, [] if there are fewer."""
    return [job["metadata"]["name"] for job in jobs] if len(jobs) >= 4 else []


def revisions(kubectl: Kubectl) -> set[str]:
    return {item["metadata"]["name"] for item in kubectl.get("controllerrevisions")["items"]}


def has_other_revisions(kubectl: Kubectl, before: set[str]) -> bool:
    return len(now := revisions(kubectl)) == 2 and now != before


def reasons(database: str) -> list[str]:
    with psycopg.connect(database, autocommit=True) as connection:
        return [reason for (reason,) in connection.execute("SELECT reason FROM region_tick.job_run")]


def used_to_the_end(cluster: LocalCluster, kubectl: Kubectl) -> dict[Right, set[bool]]:
    """Return the rights used, when the watches have ended too. {} before."""
    used = rights_used(cluster, kubectl.namespace, ACCOUNT)
    watched = {right.resource for right in granted() if right.verb == "watch"}
    return used if watched <= {right.resource for right in used if right.verb == "watch"} else {}
