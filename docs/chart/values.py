"""The values of the chart: for each its place in the manifests, what it may be, and what a person reads about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from docs.chart.manifest import Manifest, MissingPlaceError
from docs.chart.schema import COUNT, IMAGE, NAME, OBJECT, TEXT, YES_OR_NO, Schema, of_crd, settings_schema
from docs.generator.source import CHECKOUT
from region_tick.contract import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from docs.chart.manifest import Edit

CRD = "crds/regionscheduler.yaml"
PRIORITY_CLASS = "manifests/cluster/priorityclass.yaml"
RBAC = "manifests/namespaced/rbac.yaml"
DEPLOYMENT = "manifests/namespaced/deployment.yaml"
BUDGET = "manifests/namespaced/poddisruptionbudget.yaml"
NETWORK = "manifests/network/networkpolicies.yaml"
WORKER = "manifests/worker/deployment.yaml"
CONSOLE = "manifests/console/deployment.yaml"
CONSOLE_SERVICE = "manifests/console/service.yaml"
CONSOLE_RBAC = "manifests/console/rbac.yaml"
ADMISSION = "manifests/admission/confirm-delete.yaml"

TEMPLATES = {
    CRD: "crd.yaml",
    PRIORITY_CLASS: "priorityclass.yaml",
    RBAC: "rbac.yaml",
    DEPLOYMENT: "deployment.yaml",
    BUDGET: "poddisruptionbudget.yaml",
    NETWORK: "networkpolicies.yaml",
    WORKER: "worker.yaml",
    CONSOLE: "console.yaml",
    CONSOLE_SERVICE: "console-service.yaml",
    CONSOLE_RBAC: "console-rbac.yaml",
    ADMISSION: "admission.yaml",
}
"""Which manifest becomes which template."""

SHARED = (CRD, PRIORITY_CLASS)
"""What all installations of a cluster share: Helm keeps these when a release is uninstalled."""

_POD = "spec.template.spec"
_OPERATOR = f"{_POD}.containers.operator"
_WORKER = f"{_POD}.containers.worker"
_CONSOLE = f"{_POD}.containers.console"
_POSTGRES = 5432


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of the chart, by its dotted path in values.yaml. `switches` are the manifests that there are only where
    the value is true.
    """

    path: str
    about: str
    schema: Schema
    default: object
    edits: Mapping[str, Sequence[Edit]] = field(default_factory=dict)
    switches: tuple[str, ...] = ()


def read_manifests() -> dict[str, Manifest]:
    """Return the manifests that become templates, by path from the checkout on."""
    return {path: Manifest(path, (CHECKOUT / path).read_text()) for path in TEMPLATES}


def values(manifests: Mapping[str, Manifest]) -> list[Value]:
    """Return all values, in the order of values.yaml. Raises MissingPlaceError."""
    operator, worker, console = manifests[DEPLOYMENT], manifests[WORKER], manifests[CONSOLE]
    return [
        _image(
            "operator.image",
            "The image of operator and console. Without tag and digest it is the chart's release; a digest goes before"
            " a tag.",
            (operator, f"{_OPERATOR}.image"),
            (console, f"{_CONSOLE}.image"),
        ),
        _hole("operator.replicas", "One replica leads, the others stand by.", COUNT, (operator, "spec.replicas")),
        _hole("operator.resources", "As in a container.", OBJECT, (operator, f"{_OPERATOR}.resources")),
        _settings(operator, console),
        _image(
            "tick.image",
            "The ticks' image, where spec.tick.image of the RegionScheduler is unset.",
            (operator, f"{_OPERATOR}.env.TICK_IMAGE.value"),
            (console, f"{_CONSOLE}.env.TICK_IMAGE.value"),
        ),
        _hole(
            "database.secret",
            "The Secret with the database's URL under DATABASE_URL, and under DATABASE_DIRECT_URL a URL straight to"
            " Postgres where the first leads to a pooler.",
            NAME,
            (operator, f"{_POD}.volumes.database.secret.secretName"),
            (operator, f"{_OPERATOR}.env.DATABASE_SECRET.value"),
            (worker, f"{_WORKER}.env.DATABASE_URL.valueFrom.secretKeyRef.name"),
            (worker, f"{_WORKER}.env.DATABASE_DIRECT_URL.valueFrom.secretKeyRef.name"),
        ),
        Value(
            path="database.url",
            about="Have the chart make that Secret, with this URL. Empty: the Secret is made by somebody else.",
            schema=TEXT,
            default="",
        ),
        Value(path="database.directUrl", about="DATABASE_DIRECT_URL in that Secret.", schema=TEXT, default=""),
        _pull_secrets(operator, worker, console),
        Value(
            path="regionScheduler.create",
            about="Have RegionScheduler `default` in the chart, and the operator make none (BOOTSTRAP). The resource"
            " type must be in the cluster before, see docs/install.md.",
            schema=YES_OR_NO,
            default=False,
        ),
        Value(
            path="regionScheduler.spec",
            about="Its spec, as docs/reference/regionscheduler.md has it.",
            schema=_spec_schema(),
            default={},
        ),
        _switch("worker.enabled", "Workers of the queue, for ticks with the handler `enqueue`.", False, WORKER),
        _image("worker.image", "The workers' image.", (worker, f"{_WORKER}.image")),
        _hole("worker.replicas", "If one worker dies, another takes over its tasks.", COUNT, (worker, "spec.replicas")),
        _hole("worker.resources", "As in a container.", OBJECT, (worker, f"{_WORKER}.resources")),
        _switch(
            "console.enabled",
            "A read-only page about all regions, reached through the API server (docs/console.md).",
            False,
            CONSOLE,
            CONSOLE_SERVICE,
            CONSOLE_RBAC,
        ),
        _hole(
            "console.databaseSecret",
            "The Secret with the URL of a role that only reads, under DATABASE_URL.",
            NAME,
            (console, f"{_POD}.volumes.database.secret.secretName"),
            (console, f"{_CONSOLE}.env.DATABASE_SECRET.value"),
        ),
        _hole("console.resources", "As in a container.", OBJECT, (console, f"{_CONSOLE}.resources")),
        _switch("networkPolicies.enabled", "NetworkPolicies for operator, ticks, workers, console.", False, NETWORK),
        _database_ports(manifests[NETWORK]),
        _switch(
            "admission.enabled",
            "Let nobody delete a RegionScheduler whose regions tick without a confirmation. One release of a cluster"
            " may have this.",
            False,
            ADMISSION,
        ),
        _switch("podDisruptionBudget.create", "Have a drain take one replica at a time.", True, BUDGET),
        _switch(
            "priorityClass.create",
            "The PriorityClass of the ticks' pods. One release of a cluster has it; it stays when the release goes.",
            True,
            PRIORITY_CLASS,
        ),
        _switch(
            "crds.install",
            "The resource type RegionScheduler. One release of a cluster has it; it stays when the release goes.",
            True,
            CRD,
        ),
    ]


def _hole(path: str, about: str, schema: Schema, *places: tuple[Manifest, str]) -> Value:
    """Return a value that stands in manifests: JSON is YAML wherever it stands, whatever the indentation."""
    manifest, first = places[0]
    text = f"{{{{ toJson .Values.{path} }}}}"
    return Value(path=path, about=about, schema=schema, default=manifest.read(first), edits=_edits(text, places))


def _image(path: str, about: str, *places: tuple[Manifest, str]) -> Value:
    manifest, where = places[0]
    repository, _, tag = manifest.read(where).rpartition(":")
    if tag != VERSION:
        raise MissingPlaceError(f"{manifest.name} names {tag!r} instead of the release {VERSION}: see docs/release.md")
    name = path.partition(".")[0]
    text = f'{{{{ include "region-tick.image" (dict "name" "{name}" "image" .Values.{path} "chart" .Chart) }}}}'
    default = {"repository": repository, "tag": "", "digest": ""}
    return Value(path=path, about=about, schema=IMAGE, default=default, edits=_edits(text, places))


def _edits(text: str, places: Sequence[tuple[Manifest, str]]) -> dict[str, list[Edit]]:
    edits: dict[str, list[Edit]] = {}
    for manifest, path in places:
        edits.setdefault(manifest.name, []).append(manifest.replace(path, text))
    return edits


def _switch(path: str, about: str, default: bool, *manifests: str) -> Value:
    return Value(path=path, about=about, schema=YES_OR_NO, default=default, switches=manifests)


def _settings(operator: Manifest, console: Manifest) -> Value:
    """Return the operator's settings. Some matter to the console too."""
    given = [variable["name"] for variable in operator.read(f"{_OPERATOR}.env")]
    schema = settings_schema(given)
    known = "\n".join(f"- {name}: {part['description']}" for name, part in schema["properties"].items())
    return Value(
        path="operator.settings",
        about=f"Settings of the operator, by their environment variables:\n{known}",
        schema=schema,
        default={},
        edits={
            manifest.name: [
                manifest.append(f"{container}.env", f'{{{{- include "region-tick.{name}" . | nindent 12 }}}}')
            ]
            for manifest, container, name in (
                (operator, _OPERATOR, "settings"),
                (console, _CONSOLE, "console-settings"),
            )
        },
    )


def _pull_secrets(*deployments: Manifest) -> Value:
    text = "{{- with .Values.imagePullSecrets }}\n      imagePullSecrets: {{ toJson . }}\n{{- end }}"
    return Value(
        path="imagePullSecrets",
        about="Secrets for the registry, for operator, workers and a RegionScheduler of the chart. Where the operator"
        " makes the RegionScheduler, the release's notes have the command that tells the ticks.",
        schema={"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": NAME}}},
        default=[],
        edits={item.name: [item.append(f"{_POD}.terminationGracePeriodSeconds", text)] for item in deployments},
    )


def _database_ports(policies: Manifest) -> Value:
    """Return the ports of Postgres, which stand in the policy of each kind of pod."""
    port = "        - {protocol: TCP, port: {{ toJson . }}}"
    text = f"{{{{- range .Values.networkPolicies.databasePorts }}}}\n{port}\n{{{{- end }}}}"
    edits = list(policies.replace_lines("port", str(_POSTGRES), text))
    if not edits:
        raise MissingPlaceError(f"{policies.name} has no port {_POSTGRES}, see docs/chart/values.py")
    return Value(
        path="networkPolicies.databasePorts",
        about="The ports of Postgres, and of a pooler before it, that the pods may connect to.",
        schema={"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
        default=[_POSTGRES],
        edits={policies.name: edits},
    )


def _spec_schema() -> Schema:
    crd: Any = yaml.safe_load((CHECKOUT / CRD).read_text())
    return of_crd(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
