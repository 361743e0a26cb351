"""An artifact that cosign has signed with a key: Flux takes this artifact, and no other."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.gitops.flux_site import NAME, regionscheduler
from tests.harness.cosign import Key
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gitops.flux_site import FluxSite
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.gitops

OCI_REPOSITORIES = "ocirepositories.source.toolkit.fluxcd.io"
SECRET = "cosign-key"
VERIFIED = {"verify": {"provider": "cosign", "secretRef": {"name": SECRET}}}


def verdict(kubectl: Kubectl) -> tuple[str, str]:
    """Ask Flux to look again. Return whether Flux has verified the artifact, and what Flux says."""
    token = secrets.token_hex(4)
    kubectl("annotate", OCI_REPOSITORIES, NAME, "--overwrite", f"reconcile.fluxcd.io/requestedAt={token}")

    def judged() -> dict[str, str] | None:
        status = kubectl.get(OCI_REPOSITORIES, NAME).get("status", {})
        conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
        return conditions["SourceVerified"] if status.get("lastHandledReconcileAt") == token else None

    found = eventually(judged, what="Flux has looked again", seconds=60)
    return found["status"], found["message"]


def test_only_what_was_signed_with_the_key_is_taken(site: FluxSite, tmp_path: Path) -> None:
    kubectl, key, other = site.kubectl, Key.make(tmp_path / "ours"), Key.make(tmp_path / "others")
    kubectl("create", "secret", "generic", SECRET, f"--from-file={key.public}")
    site.keep(wait=False)

    digest = site.release(regionscheduler(concurrency=2), **VERIFIED)
    artifact = f"{site.registry.address}/{site.repository}@{digest}"
    assert verdict(kubectl)[0] == "False"
    other.sign(artifact)
    status, message = verdict(kubectl)
    assert (status, "no matching signatures were found" in message) == ("False", True)
    assert not kubectl.scheduler()

    key.sign(artifact)
    assert verdict(kubectl)[0] == "True"
    assert site.outcome(digest)["status"] == "True"
    assert kubectl.scheduler()["spec"]["concurrency"] == 2
