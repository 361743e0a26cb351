"""Pushes the images of a release to a registry, by digest, and what is known of each image beside it."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from devcluster import commands, debian, progress
from devcluster.errors import ClusterError
from release.oci import Descriptor, Layout, write_referrer

_PUSH_SECONDS = 1200.0
_INSPECT_SECONDS = 60.0
_ABSENT = ("manifest unknown", "name unknown")
"""How a registry says that it has no such tag, or no such repository (OCI distribution specification, error codes)."""


def push(image: Layout, reference: str, *, plain_http: bool = False) -> None:
    """Push what a layout names, with all that belongs to it, to `reference`: REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST.

    The registry has the same bytes, and so the same digests. skopeo takes the credentials of `skopeo login`. Raises
    ClusterError if the registry refuses.
    """
    debian.ensure(debian.RELEASE)
    options = [f"--dest-tls-verify={str(not plain_http).lower()}", "--all", "--preserve-digests", "--quiet"]
    with progress.step(f"pushing {reference}"):
        commands.run("skopeo", "copy", *options, f"oci:{image.folder}", f"docker://{reference}", seconds=_PUSH_SECONDS)


def refuse_other_content(image: Layout, reference: str, *, plain_http: bool = False) -> None:
    """Raise ClusterError if the registry has other content under `reference`, REGISTRY/NAME:TAG, or does not say."""
    debian.ensure(debian.RELEASE)
    options = [f"--tls-verify={str(not plain_http).lower()}", "--raw"]
    try:
        published = commands.run("skopeo", "inspect", *options, f"docker://{reference}", seconds=_INSPECT_SECONDS)
    except ClusterError as error:
        if any(answer in str(error) for answer in _ABSENT):
            return
        raise
    digest = f"sha256:{hashlib.sha256(published.encode()).hexdigest()}"
    if digest != image.root["digest"]:
        message = (
            f"{reference} is published with the digest {digest}, and {image.folder} has {image.root['digest']}:"
            " whoever pulls the tag would get other content, so release what has changed under a new version"
        )
        raise ClusterError(message)


def attach(content: bytes, kind: str, subject: Descriptor, repository: str, *, plain_http: bool = False) -> str:
    """Push an artifact of the media type `kind` that refers to `subject`, and return the artifact's digest.

    `repository` is REGISTRY/NAME, where the subject is. Raises ClusterError if the registry refuses.
    """
    with tempfile.TemporaryDirectory(prefix="region-tick-referrer-") as folder:
        artifact = write_referrer(content, kind, subject, Path(folder) / "artifact")
        digest: str = artifact.root["digest"]
        push(artifact, f"{repository}@{digest}", plain_http=plain_http)
        return digest
