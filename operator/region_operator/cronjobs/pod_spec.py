"""Renders the pod of a tick: the container, its rights, and the environment that the tick reads. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import CONTAINER, PRIORITY_CLASS
from region_tick.contract import TERMINATION_GRACE_SECONDS, Variable

if TYPE_CHECKING:
    from datetime import timedelta

    from region_operator.cronjobs.manifest_parts import Manifest
    from region_operator.regions.region import RegionRow
    from region_operator.regions.schedule import Schedule
    from region_operator.scheduler import Scheduler
    from region_operator.tick_spec import TickSpec

TMP_VOLUME = "region-tick-tmp"
"""The name of the volume at /tmp. The root file system is read-only, and programs want a place for temporary files."""
_TMP = "/tmp"  # noqa: S108 - a path in the tick's pod
_DEFAULT_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}


def pod_spec(
    region: RegionRow, schedule: Schedule, scheduler: Scheduler, name: str, tick_image: str, start_deadline: timedelta
) -> Manifest:
    """Return the pod's spec. `name` is the CronJob's; `tick_image` is used if the spec names no image."""
    tick = scheduler.spec.tick
    optional = {
        "initContainers": tick.init_containers,
        "imagePullSecrets": tick.image_pull_secrets,
        "nodeSelector": tick.node_selector,
        "affinity": tick.affinity,
        "topologySpreadConstraints": tick.topology_spread_constraints,
        "hostAliases": tick.host_aliases,
        "serviceAccountName": tick.service_account_name,
    }
    return {
        "restartPolicy": "Never",
        "priorityClassName": PRIORITY_CLASS,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": tick.security_context,
        "tolerations": [
            # A lost node must not block the region's next tick for Kubernetes' default of five minutes.
            {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
            for state in ("not-ready", "unreachable")
        ]
        + tick.tolerations,
        "volumes": [{"name": TMP_VOLUME, "emptyDir": {}}, *tick.volumes],
        "containers": [_container(tick, tick_image, _environment(region, schedule, scheduler, name, start_deadline))],
        **{field: value for field, value in optional.items() if value},
    }


def _container(tick: TickSpec, tick_image: str, environment: list[Manifest]) -> Manifest:
    mounts = tick.volume_mounts
    if not any(mount["mountPath"].rstrip("/") == _TMP for mount in mounts):
        mounts = [{"name": TMP_VOLUME, "mountPath": _TMP}, *mounts]
    container: Manifest = {
        "name": CONTAINER,
        "image": tick.image or tick_image,
        "env": environment + tick.env,
        "envFrom": tick.env_from,
        "resources": tick.resources or _DEFAULT_RESOURCES,
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if tick.image_pull_policy:
        container["imagePullPolicy"] = tick.image_pull_policy
    return container


def _environment(
    region: RegionRow, schedule: Schedule, scheduler: Scheduler, name: str, start_deadline: timedelta
) -> list[Manifest]:
    def from_field(path: str) -> Manifest:
        return {"fieldRef": {"fieldPath": path}}

    tick = scheduler.spec.tick
    plain = {
        Variable.CRONJOB_NAME: name,
        Variable.SOURCE: region.source,
        Variable.INSTALLATION: scheduler.installation,
        Variable.HANDLER: region.handler or tick.handler,
        Variable.TIMEOUT_SECONDS: str(int((region.timeout or tick.timeout).total_seconds())),
        Variable.START_DEADLINE_SECONDS: str(int(start_deadline.total_seconds())),
        Variable.REGION_ID: region.id,
        Variable.REGION_CODE: region.code,
        Variable.REGION_NAME: region.name,
        Variable.REGION_BBOX: str(region.bbox) if region.bbox else "",
        Variable.REGION_CRON: schedule.source,
        Variable.MAX_WINDOW_SECONDS: str(int(tick.max_window.total_seconds())) if tick.max_window else "",
        Variable.FAILED_LOG_LINES: str(tick.failed_log_lines or ""),
        Variable.REGION_PARAMS: region.params or "",
    }
    referred = {
        Variable.DATABASE_URL: {"secretKeyRef": {"name": tick.database_secret, "key": "DATABASE_URL"}},
        Variable.JOB_NAME: from_field("metadata.labels['batch.kubernetes.io/job-name']"),
        Variable.JOB_UID: from_field("metadata.labels['batch.kubernetes.io/controller-uid']"),
        Variable.POD_NAME: from_field("metadata.name"),
        Variable.NODE_NAME: from_field("spec.nodeName"),
    }
    return [{"name": str(variable), "value": escape_dollars(value)} for variable, value in plain.items()] + [
        {"name": str(variable), "valueFrom": value} for variable, value in referred.items()
    ]


def escape_dollars(text: str) -> str:
    """Double every `$` of a variable's value, because the kubelet replaces `$(NAME)` and `$$`."""
    return text.replace("$", "$$")


def unescape_dollars(value: str) -> str:
    """Undo `escape_dollars`."""
    return value.replace("$$", "$")
