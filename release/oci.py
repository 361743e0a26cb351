"""Reads and writes images as OCI layouts: folders of content by digest (OCI image specification 1.1).

A layout here names exactly one thing, an image or an index of images, as what `skopeo` copies is one thing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Descriptor = dict[str, Any]
"""How OCI names content: mediaType, digest (`sha256:` and 64 hex digits) and size, and what else is said of it."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_NOTHING = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True, slots=True)
class Layout:
    """A folder in the format `oci-layout`."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Layout:
        """Make a layout without content. Raises FileExistsError if the folder exists."""
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return cls(folder)

    @property
    def root(self) -> Descriptor:
        """What the layout names."""
        (descriptor,) = json.loads((self.folder / "index.json").read_text())["manifests"]
        found: Descriptor = descriptor
        return found

    def blob(self, descriptor: Descriptor) -> Path:
        """Return the file with the content."""
        return self.folder / "blobs" / str(descriptor["digest"]).replace(":", "/")

    def read(self, descriptor: Descriptor) -> Any:
        """Return JSON content."""
        return json.loads(self.blob(descriptor).read_bytes())

    def add(self, content: bytes, media_type: str) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        descriptor = {"mediaType": media_type, "digest": digest, "size": len(content)}
        self.blob(descriptor).write_bytes(content)
        return descriptor

    def add_json(self, content: Mapping[str, Any]) -> Descriptor:
        """Add a manifest or an index, whose mediaType is in the content."""
        return self.add(json.dumps(content, separators=(",", ":")).encode(), content["mediaType"])

    def name(self, root: Descriptor) -> None:
        """Have the layout name `root`."""
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [root]}))


def platform_of(image: Layout) -> dict[str, str]:
    """Return the image's platform, for example {"architecture": "amd64", "os": "linux"}."""
    configuration = image.read(image.read(image.root)["config"])
    return {key: configuration[key] for key in ("architecture", "os", "variant") if configuration.get(key)}


def write_index(images: Iterable[Layout], folder: Path) -> Layout:
    """Write a layout that names an index of images of several platforms. A client then takes its own platform's."""
    joined = Layout.make(folder)
    platforms = []
    for image in sorted(images, key=lambda image: platform_of(image)["architecture"]):
        shutil.copytree(image.folder / "blobs", folder / "blobs", dirs_exist_ok=True)
        root = {key: image.root[key] for key in ("mediaType", "digest", "size")}
        platforms.append(root | {"platform": platform_of(image)})
    joined.name(joined.add_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": platforms}))
    return joined


def write_referrer(content: bytes, kind: str, subject: Descriptor, folder: Path) -> Layout:
    """Write a layout that names an artifact of the media type `kind` that refers to `subject`.

    A registry that has the artifact lists the artifact among the subject's referrers (OCI distribution specification
    1.1, "Listing Referrers").
    """
    artifact = Layout.make(folder)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": artifact.add(b"{}", _NOTHING),
        "layers": [artifact.add(content, kind)],
        "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
    }
    artifact.name(artifact.add_json(manifest))
    return artifact
