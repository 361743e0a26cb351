"""An artifact that cosign has signed with a key: Flux takes this artifact, and no other."""

from __future__ import annotations

import os
import secrets
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.gitops.flux_site import NAME, regionscheduler
from tests.harness.go_program import go_program
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gitops.flux_site import FluxSite
    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.gitops

OCI_REPOSITORIES = "ocirepositories.source.toolkit.fluxcd.io"
SECRET = "cosign-key"
SIGN_SECONDS = 60
VERIFIED = {"verify": {"provider": "cosign", "secretRef": {"name": SECRET}}}


def cosign(*arguments: str, folder: Path) -> None:
    """Run cosign in a folder, with keys that have no password."""
    subprocess.run(
        [go_program("flux/cosign"), *arguments],
        cwd=folder,
        env=os.environ | {"COSIGN_PASSWORD": "", "HOME": str(folder)},
        check=True,
        capture_output=True,
        timeout=SIGN_SECONDS,
    )


def new_keys(folder: Path) -> Path:
    """Make a folder with a pair of keys, and with a configuration by which a signature is told to nobody."""
    folder.mkdir()
    cosign("generate-key-pair", folder=folder)
    cosign("signing-config", "create", "--out=offline.json", folder=folder)
    return folder


def sign(site: FluxSite, digest: str, keys: Path) -> None:
    options = ("--key=cosign.key", "--signing-config=offline.json", "--allow-http-registry", "--yes")
    cosign("sign", *options, f"{site.registry.address}/{site.repository}@{digest}", folder=keys)


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
    kubectl, keys, others = site.kubectl, new_keys(tmp_path / "ours"), new_keys(tmp_path / "others")
    kubectl("create", "secret", "generic", SECRET, f"--from-file={keys / 'cosign.pub'}")
    site.keep(wait=False)

    digest = site.release(regionscheduler(concurrency=2), **VERIFIED)
    assert verdict(kubectl)[0] == "False"
    sign(site, digest, others)
    status, message = verdict(kubectl)
    assert (status, "no matching signatures were found" in message) == ("False", True)
    assert not kubectl.scheduler()

    sign(site, digest, keys)
    assert verdict(kubectl)[0] == "True"
    assert site.outcome(digest)["status"] == "True"
    assert kubectl.scheduler()["spec"]["concurrency"] == 2
