"""The checks of `doctor` that need Kubernetes alone. Each one yields what was found and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kubectl_region.cluster import SCHEDULER
from kubectl_region.console import FORWARD_ROLE, PROXIED, SERVICE, VIEW_ROLE, give
from kubectl_region.errors import PluginError
from kubectl_region.kubectl import KubectlError
from region_tick.contract import DATABASE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kubectl_region.cluster import Cluster

OPERATE_ROLE = "region-tick-operate"
OPERATOR_SELECTOR = "app.kubernetes.io/name=region-tick,app.kubernetes.io/component=operator"


class Result(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result."""

    name: str
    result: Result
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Right:
    """A right of Kubernetes that a command needs. `resource` may have a subresource, as in pods/log."""

    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.verb, self.resource, self.name)))

    def review(self, namespace: str) -> dict[str, Any]:
        """Return the SelfSubjectAccessReview that asks for the right."""
        resource, _, subresource = self.resource.partition("/")
        asked = {"namespace": namespace, "verb": self.verb, "group": self.group, "resource": resource}
        asked |= ({"subresource": subresource} if subresource else {}) | ({"name": self.name} if self.name else {})
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        return kind | {"metadata": {"name": ""}, "spec": {"resourceAttributes": asked}}


VIEW: Sequence[Right] = (
    Right("get", "region-tick.dev", "regionschedulers"),
    Right("list", "batch", "cronjobs"),
    Right("list", "batch", "jobs"),
    Right("list", "", "pods"),
    Right("get", "", "pods/log"),
    Right("get", "", "services/proxy", PROXIED),
)
"""What the commands need that only look. The last one may be replaced by FORWARD."""
FORWARD = (Right("get", "", "services", SERVICE), Right("create", "", "pods/portforward"))
OPERATE: Sequence[Right] = (
    Right("patch", "batch", "cronjobs"),
    Right("patch", "region-tick.dev", "regionschedulers"),
    Right("create", "batch", "jobs"),
)
"""What pause, resume, approve, trigger and rerun need besides."""


def check_rights(cluster: Cluster, namespace: str) -> Iterator[Check]:
    """Ask the API server what the user may do."""
    for name, rights, role, result in (
        ("your rights to look", VIEW, VIEW_ROLE, Result.FAIL),
        ("your rights to act", OPERATE, OPERATE_ROLE, Result.WARN),
    ):
        missing = missing_rights(cluster, namespace, rights)
        is_proxy = missing == [VIEW[-1]]
        if is_proxy and not missing_rights(cluster, namespace, FORWARD):
            missing, rights = [], [*rights[:-1], *FORWARD]
        if missing:
            remedy = give(role, namespace) + f"; or the ClusterRole {FORWARD_ROLE}, for a port-forward" * is_proxy
            yield Check(name, result, f"you may not {', '.join(map(str, missing))}", remedy)
        else:
            yield Check(name, Result.OK, f"you may {', '.join(map(str, rights))}")


def missing_rights(cluster: Cluster, namespace: str, rights: Sequence[Right]) -> list[Right]:
    """Return the rights that the user does not have. Raises PluginError."""
    import json

    reviews = {"apiVersion": "v1", "kind": "List", "items": [right.review(namespace) for right in rights]}
    words = ("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}')
    answers = cluster.kubectl(*words, stdin=json.dumps(reviews)).split()
    return [right for right, allowed in zip(rights, answers, strict=True) if allowed != "true"]


def check_operator(cluster: Cluster, namespace: str) -> Iterator[Check]:
    """Look whether a pod of the operator is ready."""
    pods = cluster.kubectl.json("get", "pods", "-n", namespace, "--selector", OPERATOR_SELECTOR)["items"]
    ready = sum(_is_ready(pod) for pod in pods)
    look = f"kubectl get pods -n {namespace} -l {OPERATOR_SELECTOR}; kubectl logs -n {namespace} deploy/region-operator"
    if not pods:
        yield Check("operator", Result.FAIL, f"no pod of the operator in namespace {namespace}", look)
    else:
        result = Result.OK if ready else Result.FAIL
        yield Check("operator", result, f"{ready} of {len(pods)} pods are ready", "" if ready else look)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def check_conditions(cluster: Cluster, namespace: str) -> Iterator[Check]:
    """Show what the operator has found: database, migrations, table, trigger, clocks, rate. Raises PluginError."""
    try:
        scheduler = cluster.kubectl.json("get", "regionscheduler", SCHEDULER, "-n", namespace)
    except KubectlError as error:
        if error.reason != "NotFound" and "resource type" not in error.message:
            raise
        remedy = "install Region tick (docs/install.md), or name its namespace by -n"
        raise PluginError(f"no RegionScheduler in namespace {namespace}: {error.message}", remedy) from error
    yield from explain_conditions(scheduler)


CHECKED = {"EditsUnheard": "trigger", "ClockSkew": "clocks", "Overcommitted": "controller's rate"}
"""The conditions that are present only while something is wrong, and what each is about."""


def explain_conditions(scheduler: Mapping[str, Any]) -> Iterator[Check]:
    """Turn a RegionScheduler's conditions into checks. The messages are the operator's, and say what to do."""
    conditions = {item["type"]: item for item in scheduler.get("status", {}).get("conditions", [])}
    ready = conditions.pop("Ready", None)
    if ready is None:
        text = "no operator has looked at the RegionScheduler yet"
        yield Check("RegionScheduler", Result.FAIL, text, "see why under operator")
        return
    result = Result.OK if ready["status"] == "True" else Result.FAIL
    yield Check("RegionScheduler", result, f"{ready['reason']}: {ready['message']}")
    if (seen := scheduler["status"].get("observedGeneration")) != scheduler["metadata"]["generation"]:
        text = f"the operator has seen generation {seen} of {scheduler['metadata']['generation']}"
        yield Check("spec", Result.WARN, text, "see whether the operator runs")
    for kind, item in conditions.items():
        if kind != "Stalled":  # says what Ready says
            yield Check(CHECKED.get(kind, kind), Result.WARN, f"{item['reason']}: {item['message']}")
    for kind, name in CHECKED.items():
        if kind not in conditions and kind != "Overcommitted" and ready["status"] == "True":
            yield Check(name, Result.OK, f"no condition {kind}")


def check_secret(cluster: Cluster, namespace: str) -> Iterator[Check]:
    """Look whether the Secret of the database exists, if the user may. The Secret's content is not shown."""
    if missing_rights(cluster, namespace, [Right("get", "", "secrets", DATABASE_SECRET)]):
        text = (
            f"you may not see whether Secret {DATABASE_SECRET} exists: the RegionScheduler says what the operator sees"
        )
        yield Check("Secret", Result.UNKNOWN, text)
        return
    try:
        cluster.kubectl("get", "secret", DATABASE_SECRET, "-n", namespace, "-o", "name")
    except KubectlError as error:
        if error.reason != "NotFound":
            raise
        make = f"kubectl create secret generic {DATABASE_SECRET} -n {namespace} --from-literal=DATABASE_URL=postgresql://..."
        yield Check("Secret", Result.FAIL, f"there is no Secret {DATABASE_SECRET}", make)
    else:
        yield Check("Secret", Result.OK, f"Secret {DATABASE_SECRET} exists")
