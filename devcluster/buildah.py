"""Builds images with buildah, without a container engine and without a registry.

This module assumes that no image can be pulled, unless a caller names an image to build FROM. A Debian with the same
Python replaces the Dockerfile's PYTHON_IMAGE: debootstrap makes the Debian image once. All images are in a store of
their own in the cache, so the user's images are never touched. Building needs root. One build at a time uses the store.

Two builds of the same files on the same base give the same image, because every time in an image is set: the time of
the build and the times of files. So do two bases of the same day and the same packages.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from devcluster import commands, debian, progress
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home

_SUITE = "trixie"  # its python3 is 3.13
_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_EXCLUDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/log",
)
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # the certificate authorities of OpenSSL and Python in a Debian


def base_name() -> str:
    """Return the base image's name, which has a hash of the image's contents."""
    digest = hashlib.sha256(repr((_SUITE, _PACKAGES, _EXCLUDED)).encode()).hexdigest()[:12]
    return f"localhost/region-tick/python:3.13-{digest}"


def build(
    source: Path,
    tag: str,
    *,
    destination: str,
    base: Path | None = None,
    target: str | None = None,
    python_image: str | None = None,
    timestamp: int = 0,
) -> None:
    """Build the Dockerfile in the folder `source` and push the image to `destination`. Raises ClusterError.

    `destination` is a transport and a path, for example `docker-archive:/folder/file.tar:name:tag`. `base` is the
    docker-archive of the project's own image that the Dockerfile is FROM, if any. `target` is the stage at which the
    build ends; None means the last stage. `python_image` is pulled and replaces the local base. `timestamp`, in seconds
    since 1970, is the time of everything in the image.
    """
    if os.geteuid():
        message = f"building {tag} needs root where no Docker engine answers: run as root, or start Docker"
        raise ClusterError(message)
    debian.complete_path()
    debian.ensure(debian.IMAGES)
    with exclusively(_store()):
        _clean()  # remove the leftovers of an interrupted build
        if python_image is None:
            _ensure_base()
        # Chroot isolation, on the host's network, works wherever root works, also inside a container.
        options = [f"--build-arg=PYTHON_IMAGE={python_image or base_name()}", "--isolation=chroot", *_host_settings()]
        options += [f"--timestamp={timestamp}", "--pull" if python_image else "--pull-never"]
        options += [f"--target={target}"] if target else []
        with progress.step(f"building image {tag}"):
            pulled = _buildah("pull", "--quiet", f"docker-archive:{base}").split() if base else []
            _buildah("build", *options, f"--tag={tag}", str(source))
            _buildah("push", "--quiet", f"localhost/{tag}", destination)
        _buildah("rmi", "--force", f"localhost/{tag}", *pulled)
        _clean()


def _host_settings() -> list[str]:
    """Return the options that give a build the host's certificates and PyPI mirror.

    A company's proxy may re-sign TLS connections with its own certificate authority. The host trusts the authority, and
    pip in a RUN step must trust the authority too. The host's certificates are mounted over the image's during the
    build, and end up in no layer. PIP_INDEX_URL is the company's PyPI mirror. The value may hold a password, so buildah
    reads the value from the environment, not from the command line.
    """
    options = []
    bundle = Path(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES)
    if bundle.is_file():
        options.append(f"--volume={bundle}:{_CERTIFICATES}:ro")
    if os.environ.get("PIP_INDEX_URL"):
        options.append("--build-arg=PIP_INDEX_URL")
    return options


def _ensure_base() -> None:
    if _buildah("images", "--quiet", "--filter", f"reference={base_name()}").strip():
        return
    with tempfile.TemporaryDirectory(dir=cache_home(), prefix=".debootstrap-") as folder:
        root = Path(folder) / "root"
        with progress.step(f"making the images' base: Debian {_SUITE} with Python, by debootstrap"):
            commands.run("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(root))
            for excluded in _EXCLUDED:
                _empty(root / excluded)
            container = _buildah("from", "scratch").strip()
            _buildah("add", "--quiet", container, str(root), "/")
            _buildah("config", "--cmd=python3", "--env=LANG=C.UTF-8", container)
            _buildah("commit", "--quiet", "--rm", "--timestamp=0", container, base_name())


def _empty(folder: Path) -> None:
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _clean() -> None:
    """Remove working containers and images without a name, so that the store holds the base image only."""
    _buildah("rm", "--all")
    _buildah("rmi", "--prune")


def _store() -> Path:
    return cache_home() / "buildah"


def _buildah(*arguments: str) -> str:
    return commands.run("buildah", f"--root={_store() / 'root'}", f"--runroot={_store() / 'run'}", *arguments)
