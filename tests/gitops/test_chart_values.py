"""The values of the chart, by the real Helm: what each changes, what is refused, and what the notes say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from docs.chart.schema import settings_schema
from docs.chart.values import read_manifests, values
from tests.harness.helm import CHART, KEEP, Helm, at

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gitops

Key = tuple[str, str]

OPERATOR = ("Deployment", "region-operator")
WORKER = ("Deployment", "region-worker")
CONSOLE = ("Deployment", "region-tick-console")
SECRET = ("Secret", "region-tick-database")
SCHEDULER = ("RegionScheduler", "default")
DIGEST = f"sha256:{'0f' * 32}"
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.operator"
OF_CONSOLE = f"{POD}.containers.console"
ALL_DEPLOYMENTS = "--set=worker.enabled=true,console.enabled=true"

CHANGED: dict[str, list[tuple[Any, Key, str, Any]]] = {
    "operator.image": [
        ({"repository": "r.example/o", "tag": "2"}, OPERATOR, f"{CONTAINER}.image", "r.example/o:2"),
        ({"digest": DIGEST}, OPERATOR, f"{CONTAINER}.image", f"region-tick/operator@{DIGEST}"),
        ({"digest": DIGEST}, CONSOLE, f"{OF_CONSOLE}.image", f"region-tick/operator@{DIGEST}"),
    ],
    "operator.replicas": [(3, OPERATOR, "spec.replicas", 3)],
    "operator.resources": [({"limits": {"memory": "1Gi"}}, OPERATOR, f"{CONTAINER}.resources.limits.memory", "1Gi")],
    "operator.settings": [
        (
            {"REGION_REFRESH_INTERVAL_MS": 3000000},
            OPERATOR,
            f"{CONTAINER}.env.REGION_REFRESH_INTERVAL_MS.value",
            "3000000",
        ),
        ({"MIGRATE": False}, OPERATOR, f"{CONTAINER}.env.MIGRATE.value", "false"),
        ({"LOG_LEVEL": "DEBUG"}, OPERATOR, f"{CONTAINER}.env.LOG_LEVEL.value", "DEBUG"),
        ({"INSTALLATION": "ours"}, CONSOLE, f"{OF_CONSOLE}.env.INSTALLATION.value", "ours"),
    ],
    "tick.image": [
        ({"tag": "2"}, OPERATOR, f"{CONTAINER}.env.TICK_IMAGE.value", "region-tick/tick:2"),
        ({"tag": "2"}, CONSOLE, f"{OF_CONSOLE}.env.TICK_IMAGE.value", "region-tick/tick:2"),
    ],
    "database.secret": [
        ("other", OPERATOR, f"{POD}.volumes.database.secret.secretName", "other"),
        ("other", OPERATOR, f"{CONTAINER}.env.DATABASE_SECRET.value", "other"),
        ("other", WORKER, f"{POD}.containers.worker.env.DATABASE_URL.valueFrom.secretKeyRef.name", "other"),
        ("other", WORKER, f"{POD}.containers.worker.env.DATABASE_DIRECT_URL.valueFrom.secretKeyRef.name", "other"),
    ],
    "imagePullSecrets": [
        ([{"name": "pull"}], OPERATOR, f"{POD}.imagePullSecrets", [{"name": "pull"}]),
        ([{"name": "pull"}], WORKER, f"{POD}.imagePullSecrets", [{"name": "pull"}]),
        ([{"name": "pull"}], CONSOLE, f"{POD}.imagePullSecrets", [{"name": "pull"}]),
    ],
    "console.databaseSecret": [
        ("other", CONSOLE, f"{POD}.volumes.database.secret.secretName", "other"),
        ("other", CONSOLE, f"{OF_CONSOLE}.env.DATABASE_SECRET.value", "other"),
    ],
    "console.resources": [({"limits": {"memory": "1Gi"}}, CONSOLE, f"{OF_CONSOLE}.resources.limits.memory", "1Gi")],
    "worker.image": [({"tag": "2"}, WORKER, f"{POD}.containers.worker.image", "region-tick/worker:2")],
    "worker.replicas": [(0, WORKER, "spec.replicas", 0)],
    "worker.resources": [
        (
            {"requests": {"cpu": "1"}},
            WORKER,
            f"{POD}.containers.worker.resources.requests",
            {"cpu": "1", "memory": "96Mi"},
        )
    ],
}
"""What each value changes: its new value, the object, the place there, and what then stands in that place."""

ADDED: dict[str, tuple[Any, set[Key]]] = {
    "database.url": ("postgresql://x", {SECRET}),
    "regionScheduler.create": (True, {SCHEDULER}),
    "worker.enabled": (True, {WORKER}),
    "console.enabled": (
        True,
        {(kind, "region-tick-console") for kind in ("Deployment", "Service", "ServiceAccount", "Role", "RoleBinding")},
    ),
    "networkPolicies.enabled": (
        True,
        {("NetworkPolicy", f"region-tick-{of}") for of in ("ticks", "operator", "worker", "console")},
    ),
    "admission.enabled": (
        True,
        {
            (kind, "region-tick-confirm-delete")
            for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
        },
    ),
    "podDisruptionBudget.create": (False, {("PodDisruptionBudget", "region-operator")}),
    "priorityClass.create": (False, {("PriorityClass", "region-tick")}),
    "crds.install": (False, {("CustomResourceDefinition", "regionschedulers.region-tick.dev")}),
}
"""What objects each switch adds, or takes away where it is on by default."""

WITH_OTHERS = {"database.directUrl", "regionScheduler.spec", "networkPolicies.databasePorts"}
"""The values that change something only beside another one: each has a test of its own."""

REFUSED = {
    "a wrong type": ("operator.replicas=two", "at '/operator/replicas': got string, want integer"),
    "an unknown value": ("operator.replica=3", "at '/operator': additional properties 'replica' not allowed"),
    "a setting that is none": ("operator.settings.LOGLEVEL=INFO", "additional properties 'LOGLEVEL' not allowed"),
    "a setting's value": (
        "operator.settings.LOG_LEVEL=LOUD",
        "value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'",
    ),
    "a setting's limit": (
        "operator.settings.RETENTION_DAYS=0",
        "at '/operator/settings/RETENTION_DAYS': minimum: got 0, want 1",
    ),
    "a digest that is none": ("tick.image.digest=latest", "at '/tick/image/digest': 'latest' does not match pattern"),
    "a port that is none": (
        "networkPolicies.databasePorts={0}",
        "at '/networkPolicies/databasePorts/0': minimum: got 0, want 1",
    ),
    "a field of a RegionScheduler": (
        "regionScheduler.spec.tick.timout=5m",
        "additional properties 'timout' not allowed",
    ),
}


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Helm without a cluster."""
    return Helm(tmp_path, "region-tick")


def test_every_value_has_a_case() -> None:
    assert CHANGED.keys() | ADDED.keys() | WITH_OTHERS == {value.path for value in values(read_manifests())}


@pytest.mark.parametrize("path", CHANGED)
def test_a_value_shows_up_in_the_objects(helm: Helm, path: str) -> None:
    before = helm.template(ALL_DEPLOYMENTS)
    for value, key, place, expected in CHANGED[path]:
        after = helm.template(ALL_DEPLOYMENTS, f"--set-json={path}={json.dumps(value)}")
        assert at(after[key], place) == expected
        assert {other for other in after if after[other] != before[other]} <= {OPERATOR, WORKER, CONSOLE}


@pytest.mark.parametrize("path", ADDED)
def test_a_switch_adds_its_objects_and_no_others(helm: Helm, path: str) -> None:
    value, expected = ADDED[path]
    before, after = helm.template(), helm.template(f"--set-json={path}={json.dumps(value)}")
    assert before.keys() ^ after.keys() == expected


def test_a_number_of_a_values_file_is_no_floating_point_number(helm: Helm, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("operator: {settings: {REGION_REFRESH_INTERVAL_MS: 3000000}}")
    made = helm.template(f"--values={file}")
    assert at(made[OPERATOR], f"{CONTAINER}.env.REGION_REFRESH_INTERVAL_MS.value") == "3000000"


def test_every_setting_is_taken_with_its_default(helm: Helm) -> None:
    known = settings_schema(given=["TICK_IMAGE", "POD_NAMESPACE", "DATABASE_SECRET"])["properties"]
    made = helm.template(
        f"--set-json=operator.settings={json.dumps({name: part['default'] for name, part in known.items()})}"
    )
    assert {variable["name"] for variable in at(made[OPERATOR], f"{CONTAINER}.env")} >= known.keys()


def test_the_secret_has_the_urls(helm: Helm) -> None:
    made = helm.template("--set=database.url=postgresql://a,database.directUrl=postgresql://b,database.secret=mine")
    assert made["Secret", "mine"]["metadata"]["annotations"] == KEEP
    assert made["Secret", "mine"]["stringData"] == {
        "DATABASE_URL": "postgresql://a",
        "DATABASE_DIRECT_URL": "postgresql://b",
    }


def test_a_regionscheduler_is_nobodys_to_delete_and_the_operator_makes_none(helm: Helm) -> None:
    spec = {"concurrency": 8, "tick": {"timeout": "5m"}}
    made = helm.template(
        "--set=regionScheduler.create=true,database.secret=mine", f"--set-json=regionScheduler.spec={json.dumps(spec)}"
    )
    assert made[SCHEDULER]["spec"] == {"concurrency": 8, "tick": {"timeout": "5m", "databaseSecret": "mine"}}
    assert made[SCHEDULER]["metadata"]["annotations"] == KEEP | {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    assert at(made[OPERATOR], f"{CONTAINER}.env.BOOTSTRAP.value") == "false"


def test_the_secrets_for_the_registry_reach_the_ticks_unless_the_spec_has_its_own(helm: Helm) -> None:
    secrets, own = [{"name": "pull"}], [{"name": "own"}]
    options = ("--set=regionScheduler.create=true", f"--set-json=imagePullSecrets={json.dumps(secrets)}")
    assert helm.template(*options)[SCHEDULER]["spec"] == {"tick": {"imagePullSecrets": secrets}}
    spec = f"--set-json=regionScheduler.spec.tick.imagePullSecrets={json.dumps(own)}"
    assert helm.template(*options, spec)[SCHEDULER]["spec"] == {"tick": {"imagePullSecrets": own}}


def test_every_pod_may_connect_to_all_ports_of_the_database(helm: Helm) -> None:
    made = helm.template("--set=networkPolicies.enabled=true,networkPolicies.databasePorts={6543,5433}")
    for key in ADDED["networkPolicies.enabled"][1]:
        [rule] = made[key]["spec"]["egress"]
        ports = {port["port"] for port in rule["ports"] if port["protocol"] == "TCP"}
        assert ports - {53, 443, 6443} == {6543, 5433}, key


def test_the_notes_say_what_to_do_next(helm: Helm) -> None:
    def notes(*options: str) -> str:
        return helm("install", "x", str(CHART), "--dry-run=client", *options).partition("NOTES:")[2]

    secret = f"kubectl create secret generic region-tick-database -n {helm.namespace} "
    tell = f"kubectl patch regionscheduler default -n {helm.namespace} --type merge "
    assert secret in notes()
    assert secret not in notes("--set=database.url=postgresql://x")
    assert tell not in notes()
    told = {"databaseSecret": "mine", "imagePullSecrets": [{"name": "pull"}]}
    changed = f"--set-json={json.dumps({'database': {'secret': 'mine'}, 'imagePullSecrets': told['imagePullSecrets']})}"
    command = next(line for line in notes(changed).splitlines() if tell in line)
    assert json.loads(command.split("'")[1]) == {"spec": {"tick": told}}
    assert tell not in notes(changed, "--set=regionScheduler.create=true")


@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)
def test_a_bad_value_is_refused_and_named(helm: Helm, value: str, message: str) -> None:
    assert message in helm.fails("template", "x", str(CHART), f"--set={value}")
