"""What a test of Flux has: an artifact in a registry, its source, and Kustomizations like the shipped one."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.harness.flux import push
from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.harness.kubectl import Kubectl
    from tests.harness.registry import Registry

SHIPPED = CHECKOUT / "manifests/gitops/flux"
NAME = "region-tick"
"""The name of the source and of the Kustomization."""
SOON = {"interval": "1h", "retryInterval": "2s", "timeout": "60s"}
"""A Kustomization that is followed at once, when its artifact changes or somebody asks, and not of itself."""


WITHOUT_PODS = [{"target": {"kind": "Deployment"}, "patch": "- {op: replace, path: /spec/replicas, value: 0}"}]
"""The patches of a Kustomization by which no pod is wanted: there is no node."""


def shipped(file: str) -> dict[str, Any]:
    """Return the object of a file of manifests/gitops/flux."""
    body: dict[str, Any] = yaml.safe_load((SHIPPED / file).read_text())
    return body


def regionscheduler(*, without: str = "", **spec: Any) -> dict[str, bytes]:
    """Return the example's RegionScheduler with another spec, or without an annotation, as the files of an artifact."""
    body = yaml.safe_load((CHECKOUT / "examples/regionscheduler.yaml").read_text())
    body["spec"] = spec
    body["metadata"]["annotations"].pop(without, None)
    return {"regions/regionscheduler.yaml": yaml.safe_dump(body).encode()}


@dataclass(frozen=True, slots=True)
class FluxSite:
    """A source and Kustomizations in the namespace of `kubectl`."""

    kubectl: Kubectl
    registry: Registry
    repository: str = field(default_factory=lambda: f"tests/{secrets.token_hex(6)}")

    @property
    def url(self) -> str:
        return f"oci://{self.registry.address}/{self.repository}"

    def release(self, files: Mapping[str, bytes], **source: Any) -> str:
        """Push an artifact, and have the source be that artifact, by its digest. Return the digest."""
        digest = push(self.registry, self.repository, files)
        body = shipped("oci.yaml")
        body["metadata"]["namespace"] = self.kubectl.namespace
        body["spec"] |= {"url": self.url, "insecure": True, "ref": {"digest": digest}, **source}
        self._apply(body)
        return digest

    def keep(self, name: str = NAME, **spec: Any) -> None:
        """Have a Kustomization like the shipped one."""
        body = shipped("region-tick.yaml")
        body["metadata"] = {"name": name, "namespace": self.kubectl.namespace}
        own = {"path": "./regions", "targetNamespace": self.kubectl.namespace}
        body["spec"] |= {**SOON, **own, **spec}
        self._apply(body)

    def ready(self, name: str = NAME) -> dict[str, Any]:
        """Return the condition Ready of a Kustomization, or {} without one."""
        return _ready(self._status(name))

    def outcome(self, digest: str, name: str = NAME, *, seconds: float = 60) -> dict[str, Any]:
        """Return the condition Ready of a Kustomization, once Flux is at the end with an artifact."""
        return self._ended(name, "lastAttemptedRevision", digest, seconds=seconds)

    def sync(self, name: str = NAME) -> dict[str, Any]:
        """Ask for a reconcile as `flux reconcile` does, and return the condition Ready after it."""
        token = secrets.token_hex(4)
        self.kubectl("annotate", KUSTOMIZATIONS, name, "--overwrite", f"reconcile.fluxcd.io/requestedAt={token}")
        return self._ended(name, "lastHandledReconcileAt", token, seconds=60)

    def _ended(self, name: str, key: str, wanted: str, *, seconds: float) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            status = self._status(name)
            ready = _ready(status)
            return ready if wanted in status.get(key, "") and ready.get("status") in ("True", "False") else None

        return eventually(ended, what=f"Flux is at the end with {name}", seconds=seconds)

    def _status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.get(KUSTOMIZATIONS, name).get("status", {})
        return found

    def _apply(self, body: dict[str, Any]) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(body))


KUSTOMIZATIONS = "kustomizations.kustomize.toolkit.fluxcd.io"


def _ready(status: dict[str, Any]) -> dict[str, Any]:
    return next((condition for condition in status.get("conditions", []) if condition["type"] == "Ready"), {})
