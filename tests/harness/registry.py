"""Runs an OCI registry, and pushes artifacts to it as any client does (OCI distribution specification 1.1)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness.go_program import go_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANSWER_SECONDS = 30
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """What an artifact's manifest names: a media type and the content."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, object]:
        """The blob's entry in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that listens at `address`, such as 127.0.0.1:5000, by plain HTTP."""

    address: str

    def push(
        self, repository: str, *, tag: str, config: Blob, layer: Blob, annotations: Mapping[str, str] | None = None
    ) -> str:
        """Push an artifact of one layer, and return the digest of its manifest. Raises urllib.error.URLError."""
        for blob in (config, layer):
            self._send("POST", f"{repository}/blobs/uploads/?digest={blob.digest}", blob.content)
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor,
            "layers": [layer.descriptor],
            "annotations": annotations or {},
        }
        manifest = Blob(media_type=MANIFEST, content=json.dumps(body).encode())
        self._send("PUT", f"{repository}/manifests/{tag}", manifest.content, media_type=MANIFEST)
        return manifest.digest

    def _send(self, method: str, path: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        url = f"http://{self.address}/v2/{path}"
        request = urllib.request.Request(url, content, {"Content-Type": media_type}, method=method)
        urllib.request.urlopen(request, timeout=ANSWER_SECONDS).close()


@contextmanager
def registry(host: str = "127.0.0.1") -> Iterator[Registry]:
    """Run an empty registry at an address of this machine until the end of the block, or of this process."""
    with subprocess.Popen(
        [go_program("oci_registry"), host],
        stdin=subprocess.PIPE,  # the registry ends with its stdin
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line for each request
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Registry(process.stdout.readline().strip())
        finally:
            process.kill()
