"""Writes install.yaml: what `kubectl apply -f` needs of a release, in one file, with the images by digest."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from devcluster import commands

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 60.0


def install_yaml(checkout: Path, registry: str, digests: Mapping[str, str]) -> str:
    """Return the manifests of `checkout` with images from `registry`.

    `digests` has the digest of each image by the name that the manifests have, for example `region-tick/operator`.
    Raises ClusterError if kubectl refuses the manifests.
    """
    kubectl = Path(sys.executable).with_name("kubectl")
    with tempfile.TemporaryDirectory(prefix="region-tick-install-") as folder:
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(checkout / "manifests", Path(folder).resolve())],
            "images": [
                {"name": name, "newName": f"{registry}/{name}", "digest": digest} for name, digest in digests.items()
            ],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return commands.run(str(kubectl), "kustomize", folder, seconds=_SECONDS)
