"""Lists what is in an image, as a CycloneDX SBOM: Python's packages and Debian's packages.

The list is read from the image's own layers, so the list says what is in the image, and not what a lock file wanted.
CycloneDX' own program lists Python's packages. What is in no package is not listed: Python itself in an image that has
Python from elsewhere than Debian, and the project's own modules, which the image's name and version stand for.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devcluster import pypi
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home
from release.oci import platform_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release.oci import Layout

CYCLONEDX = "application/vnd.cyclonedx+json"
_LOCK = Path(__file__).resolve().parent.parent / "requirements" / "release.lock"
_PYTHON_PACKAGE = re.compile(r"opt/region-tick/lib/python3\.\d+/site-packages/[^/]+\.dist-info/.+")
_DEBIAN_STATUS = "var/lib/dpkg/status"
_LIST_SECONDS = 300


def sbom(image: Layout, name: str, version: str, *, timestamp: int) -> bytes:
    """Return the SBOM of an image of one platform: CycloneDX 1.6, as JSON. The same image gives the same bytes.

    `name` and `version` are the image's. Raises ClusterError if CycloneDX' program cannot be installed or fails.
    """
    with tempfile.TemporaryDirectory(prefix="region-tick-sbom-") as folder:
        _extract(image, Path(folder))
        listed: dict[str, Any] = _python_packages(Path(folder), timestamp)
        status = Path(folder) / _DEBIAN_STATUS
        listed["components"] += _debian_packages(status.read_text()) if status.exists() else []
    listed["metadata"]["component"] = {
        "type": "container",
        "bom-ref": image.root["digest"],
        "name": name,
        "version": version,
        "properties": [{"name": f"oci:{key}", "value": value} for key, value in platform_of(image).items()],
    }
    return json.dumps(listed, indent=1).encode()


def _extract(image: Layout, folder: Path) -> None:
    """Extract the files that say which packages are installed. What a later layer has overrides an earlier layer's."""
    for layer in image.read(image.root)["layers"]:
        with tarfile.open(image.blob(layer)) as content:
            for member in content:
                path = member.name.removeprefix("./")
                if member.isfile() and (path == _DEBIAN_STATUS or _PYTHON_PACKAGE.fullmatch(path)):
                    content.extract(member, folder, filter="data")


def _python_packages(folder: Path, timestamp: int) -> dict[str, Any]:
    """Return CycloneDX' list. Its program asks an interpreter where packages are; a script answers in its place."""
    places = [str(place) for place in folder.glob("opt/region-tick/lib/python3.*/site-packages")]
    interpreter = folder / "interpreter"
    interpreter.write_text(f"#!/bin/sh\ncat <<'PLACES'\n{json.dumps(places)}\nPLACES\n")
    interpreter.chmod(0o755)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", str(interpreter)]
    settings = {"PYTHONPATH": str(cyclonedx()), "SOURCE_DATE_EPOCH": str(timestamp)}
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, check=False, timeout=_LIST_SECONDS
    )
    if done.returncode:
        message = f"cyclonedx-py cannot list the packages in {places}:\n{done.stderr.strip()[-2000:]}"
        raise ClusterError(message)
    listed: dict[str, Any] = json.loads(done.stdout)
    return listed


def _debian_packages(status: str) -> Iterator[dict[str, str]]:
    """Yield a component for each installed package of dpkg's status file (deb-control(5))."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            reference = f"pkg:deb/debian/{name}@{version.replace(':', '%3A')}?arch={fields['Architecture']}"
            yield {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference}


def cyclonedx() -> Path:
    """Return the folder in which CycloneDX' program is installed, pinned by hash. Raises ClusterError."""
    folder = cache_home() / f"cyclonedx-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"
    with exclusively(folder):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
                target = Path(partial) / "packages"
                pypi.install(_LOCK, target)
                target.rename(folder)
    return folder
