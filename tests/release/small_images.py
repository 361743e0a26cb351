"""Images with one small file, for what looks at names, digests and files alone: no build is needed."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from release.images import IMAGES
from release.oci import MANIFEST, Layout

if TYPE_CHECKING:
    from pathlib import Path

    from release.oci import Descriptor

BASE = "registry.example.com/python@sha256:" + "0" * 64
METADATA = b"Metadata-Version: 2.1\nName: something\nVersion: 1\n"


def write_platforms(out: Path, *, changed: str = "") -> None:
    """Write the images where `build` would; the image `changed` has other content than otherwise."""
    for image in IMAGES:
        layout = Layout.make(out / "platforms/amd64" / image.name)
        configuration = {"architecture": "amd64", "os": "linux", "author": str(image.name == changed)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": layout.add_json({"mediaType": "application/vnd.oci.image.config.v1+json"} | configuration),
            "layers": [_layer(layout)],
            "annotations": {"org.opencontainers.image.base.name": BASE},
        }
        layout.name(layout.add_json(manifest))


def _layer(layout: Layout) -> Descriptor:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as files:
        member = tarfile.TarInfo("opt/region-tick/lib/python3.13/site-packages/something-1.dist-info/METADATA")
        member.size = len(METADATA)
        files.addfile(member, io.BytesIO(METADATA))
    return layout.add(content.getvalue(), "application/vnd.oci.image.layer.v1.tar")
