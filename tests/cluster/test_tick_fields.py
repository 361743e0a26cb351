"""The fields of spec.tick on a real API server: what the schema refuses, and that CronJobs take what it lets pass."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import Variable
from tests.harness.audit import audit_lines, sent_by
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

EVERY_FIELD: dict[str, Any] = {
    "env": [{"name": "SSL_CERT_FILE", "value": "/etc/private-ca/ca.crt"}, {"name": "EMPTY", "value": ""}],
    "envFrom": [{"secretRef": {"name": "keys", "optional": True}}],
    "resources": {"requests": {"cpu": "0.05"}, "limits": {"memory": "0.25Gi", "ephemeral-storage": 1e9}},
    "volumes": [
        {"name": "private-ca", "configMap": {"name": "private-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"name": "shared", "emptyDir": {}},
    ],
    "volumeMounts": [
        {"name": "private-ca", "mountPath": "/etc/private-ca", "readOnly": True},
        {"name": "shared", "mountPath": "/shared"},
        {"name": "shared", "mountPath": "/again", "subPath": "again"},
    ],
    "initContainers": [
        {
            "name": "proxy",
            "image": "proxy:1",
            "restartPolicy": "Always",
            "env": [{"name": "PORT", "value": "8080"}],
            "ports": [{"containerPort": 8080}, {"containerPort": 8080, "protocol": "UDP"}],
            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        },
        {"name": "migrate", "image": "migrate:1", "command": ["true"]},
    ],
    "imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}],
    "imagePullPolicy": "Always",
    "failedLogLines": 20,
    "nodeSelector": {"pool": "ticks"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "arm", "operator": "DoesNotExist"}]}}
            ]
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 2,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "region-tick"}},
        }
    ],
    "securityContext": {"runAsNonRoot": True, "fsGroup": 2000, "supplementalGroups": [3000, 4000]},
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["feeds.test", "more.test"]}],
    "jobMetadata": {"labels": {"kueue.x-k8s.io/queue-name": "ticks"}, "annotations": {"team": "geo"}},
    "podMetadata": {"labels": {"team": "geo"}, "annotations": {"karpenter.sh/do-not-disrupt": "true"}},
}


def scheduler(tick: dict[str, Any], **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "region-tick.dev/v1alpha1",
            "kind": "RegionScheduler",
            "metadata": {"name": "default"},
            "spec": {"tick": tick, **spec},
        }
    )


NULLS: dict[str, Any] = {
    "env": [{"name": "A", "value": None}],
    "resources": {"limits": None, "requests": {"cpu": "10m"}},
    "affinity": {"nodeAffinity": None},
    "tolerations": [{"key": "spot", "operator": "Exists", "value": None}],
    "securityContext": {"runAsUser": None, "runAsNonRoot": True},
    "volumes": [{"name": "a", "emptyDir": {"sizeLimit": None}}],
}


def test_every_field_reaches_the_cronjob_and_is_not_written_again(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    kubectl("apply", "-f", "-", stdin=scheduler(EVERY_FIELD, refreshInterval="1s"))
    add_regions(1)
    writes_nothing_more(run_operator, kubectl, control_plane)
    job = kubectl.cronjobs()["R1"]["spec"]["jobTemplate"]
    pod = job["spec"]["template"]
    for metadata, wanted in ((job["metadata"], "jobMetadata"), (pod["metadata"], "podMetadata")):
        assert EVERY_FIELD[wanted]["labels"].items() <= metadata["labels"].items()
        assert EVERY_FIELD[wanted]["annotations"] == metadata["annotations"]
    [container] = pod["spec"]["containers"]
    assert {"name": Variable.FAILED_LOG_LINES, "value": "20"} in container["env"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == [
        "/tmp",
        "/etc/private-ca",
        "/shared",
        "/again",
    ]
    assert pod["spec"]["securityContext"] == EVERY_FIELD["securityContext"]
    assert [item["name"] for item in pod["spec"]["initContainers"]] == ["proxy", "migrate"]
    for field in ("imagePullSecrets", "nodeSelector", "affinity", "topologySpreadConstraints", "hostAliases"):
        assert pod["spec"][field] == EVERY_FIELD[field]


def test_fields_that_are_null_are_not_written_again(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    kubectl("create", "-f", "-", stdin=scheduler(NULLS, refreshInterval="1s"))
    add_regions(1)
    writes_nothing_more(run_operator, kubectl, control_plane)


def writes_nothing_more(run_operator: RunOperator, kubectl: Kubectl, cluster: LocalCluster) -> None:
    """Run the operator until the CronJob stands, and check that three more full looks write no CronJob."""
    with run_operator(BOOTSTRAP="false") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="a CronJob")
        before, mark = operator.reconciles, cluster.audit_log.stat().st_size
        eventually(lambda: operator.reconciles >= before + 3, what="three full looks")
    since = [line["requestURI"] for line in audit_lines(cluster, kubectl.namespace, since=mark) if sent_by(line)]
    assert [uri for uri in since if "/cronjobs/" in uri] == []


REFUSED: dict[str, dict[str, Any]] = {
    "a variable that the claim needs": {"env": [{"name": Variable.JOB_NAME, "value": "x"}]},
    "a variable twice": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
    "a volume twice": {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
    "the operator's volume": {"volumes": [{"name": "region-tick-tmp", "emptyDir": {}}]},
    "a mount twice": {"volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}]},
    "the tick's container": {"initContainers": [{"name": "tick", "image": "x"}]},
    "a label that finds our Jobs": {"jobMetadata": {"labels": {"app": "mine"}}},
    "a label that finds the region": {"podMetadata": {"labels": {"region-tick.dev/region": "x"}}},
    "the Job's name": {"podMetadata": {"labels": {"batch.kubernetes.io/job-name": "x"}}},
    "an annotation of the operator": {"jobMetadata": {"annotations": {"region-tick.dev/paused": "true"}}},
    "a window that is too short": {"maxWindow": "30s"},
    "a window that is too long": {"maxWindow": "2401h"},
    "more lines of a failed attempt than are kept": {"failedLogLines": 101},
    "fewer lines than none": {"failedLogLines": -1},
    "a policy that is none": {"imagePullPolicy": "Sometimes"},
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_schema_refuses(what: str, kubectl: Kubectl) -> None:
    with pytest.raises(AssertionError, match=r"spec\.tick"):
        kubectl("create", "-f", "-", stdin=scheduler(REFUSED[what]))


def test_two_people_own_a_variable_each(kubectl: Kubectl) -> None:
    for name in ("A", "B"):
        body = scheduler({"env": [{"name": name, "value": name}]})
        kubectl("apply", "--server-side", "--field-manager", name, "-f", "-", stdin=body)
    assert [item["name"] for item in kubectl.scheduler()["spec"]["tick"]["env"]] == ["A", "B"]
