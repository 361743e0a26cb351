"""An Application of Argo CD that follows a test's Git repository: manifests/gitops/argocd/application.yaml, edited."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from tests.harness.operator_process import CHECKOUT
from tests.harness.repository import BRANCH
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.argocd import ArgoCd
    from tests.harness.repository import Repository

MANIFEST = CHECKOUT / "manifests/gitops/argocd/application.yaml"
CASCADE = "resources-finalizer.argocd.argoproj.io"
SYNC_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Application:
    """An Application that was created. Its reads are of what Argo CD has written into the Application."""

    argo: ArgoCd
    repository: Repository
    name: str

    @classmethod
    def create(cls, argo: ArgoCd, repository: Repository, name: str, *, path: str, namespace: str) -> Application:
        """Create the Application of the manifest, with the lines edited that a user edits, for a namespace."""
        body = yaml.safe_load(MANIFEST.read_text())
        body["metadata"]["name"] = name
        body["spec"]["source"] = {"repoURL": repository.url, "path": path, "targetRevision": BRANCH}
        body["spec"]["destination"]["namespace"] = namespace
        argo.kubectl("create", "-f", "-", stdin=json.dumps(body))
        return cls(argo, repository, name)

    def get(self) -> dict[str, Any]:
        found: dict[str, Any] = self.argo.kubectl.get("applications.argoproj.io", self.name)
        return found

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get().get("status", {})
        return found

    @property
    def sync(self) -> str:
        """Synced, OutOfSync or Unknown."""
        return str(self.status.get("sync", {}).get("status", ""))

    @property
    def health(self) -> str:
        """Healthy, Progressing, Degraded, Suspended, Missing or Unknown."""
        return str(self.status.get("health", {}).get("status", ""))

    @property
    def operation(self) -> str:
        """The phase of the last sync: Running, Succeeded, Failed or Error."""
        return str(self.status.get("operationState", {}).get("phase", ""))

    def health_of(self, kind: str) -> tuple[str, str]:
        """Return health and message of the Application's one resource of a kind."""
        [found] = [resource for resource in self.status.get("resources", []) if resource["kind"] == kind] or [{}]
        health = found.get("health", {})
        return health.get("status", ""), health.get("message", "")

    def push(self, message: str) -> str:
        """Commit the repository's folder, and tell Argo CD, as a webhook does. Return the commit's name."""
        commit = self.repository.commit(message)
        self.refresh()
        return commit

    def refresh(self) -> None:
        """Have Argo CD look at Git and cluster now."""
        self._annotate("argocd.argoproj.io/refresh=normal")

    def confirm(self) -> None:
        """Confirm what a running sync asks for, as Argo CD's user interface does."""
        self._annotate(f"argocd.argoproj.io/deletion-approved={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def _annotate(self, annotation: str) -> None:
        self.argo.kubectl("annotate", "--overwrite", "applications.argoproj.io", self.name, annotation)

    def will_be(self, sync: str, health: str, *, seconds: float = SYNC_SECONDS) -> None:
        """Wait for a sync status and a health."""

        def is_so() -> bool:
            return (self.sync, self.health) == (sync, health)

        try:
            eventually(is_so, what=f"{self.name} is {sync} and {health}", seconds=seconds)
        except AssertionError as error:
            error.add_note(json.dumps(self.status, indent=1))
            raise

    def will_have_synced(self, commit: str, *, seconds: float = SYNC_SECONDS) -> None:
        """Wait until a sync of a commit has succeeded."""

        def is_so() -> bool:
            state = self.status.get("operationState", {})
            return bool(state.get("phase") == "Succeeded" and state.get("syncResult", {}).get("revision") == commit)

        try:
            eventually(is_so, what=f"{self.name} has synced {commit}", seconds=seconds)
        except AssertionError as error:
            error.add_note(json.dumps(self.status, indent=1))
            raise

    def delete(self, *, cascade: bool) -> None:
        """Delete the Application, with all its resources or alone, and wait until it is gone. Gone already is fine."""
        if not self.argo.kubectl("get", "applications.argoproj.io", self.name, "--ignore-not-found"):
            return
        patch = json.dumps({"metadata": {"finalizers": [CASCADE] if cascade else []}})
        self.argo.kubectl("patch", "applications.argoproj.io", self.name, "--type=merge", "--patch", patch)
        self.argo.kubectl("delete", "applications.argoproj.io", self.name, "--timeout=100s")
