"""Builds images with buildah, without an engine and without a registry.

Believes that nothing can be pulled: the Dockerfile's PYTHON_IMAGE is replaced by a Debian with the same Python, made
once by debootstrap and kept in an image store of our own in the cache, so the user's own images are never touched.
Needs root; the store is used by one build at a time.
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
    "var/lib/apt/lists",
    "var/log",
)
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # what OpenSSL, and so Python, believes in a Debian


def base_name() -> str:
    """The base image's name, which changes with what is in it."""
    digest = hashlib.sha256(repr((_SUITE, _PACKAGES, _EXCLUDED)).encode()).hexdigest()[:12]
    return f"localhost/region-tick/python:3.13-{digest}"


def build(source: Path, tag: str, base: Path | None, target: str | None, archive: Path) -> None:
    """Builds the Dockerfile in `source` (up to its stage `target`), FROM the image in the docker-archive `base` where
    there is one, into the docker-archive `archive`; raises ClusterError where that fails.
    """
    if os.geteuid():
        message = f"building {tag} needs root where no Docker engine answers: run as root, or start Docker"
        raise ClusterError(message)
    debian.complete_path()
    debian.ensure(debian.IMAGES)
    with exclusively(_store()):
        _clean()  # what an interrupted build has left
        _ensure_base()
        # Chroot isolation is the one that works everywhere root does, also inside a container, on the host's network.
        options = [f"--build-arg=PYTHON_IMAGE={base_name()}", "--isolation=chroot", "--pull-never", *_host_settings()]
        options += [f"--target={target}"] if target else []
        with progress.step(f"building image {tag}"):
            pulled = _buildah("pull", "--quiet", f"docker-archive:{base}").split() if base else []
            _buildah("build", *options, f"--tag={tag}", str(source))
            _buildah("push", f"localhost/{tag}", f"docker-archive:{archive}:{tag}")
        _buildah("rmi", "--force", f"localhost/{tag}", *pulled)
        _clean()


def _host_settings() -> list[str]:
    """Where a company's proxy re-signs what it passes on, the host's certificates know it; so must pip in a RUN step.

    They cover the image's own for the build and end in no layer. PIP_INDEX_URL is the company's mirror of PyPI: buildah
    takes its value, which may hold a password, from the environment.
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
            _buildah("commit", "--quiet", "--rm", container, base_name())


def _empty(folder: Path) -> None:
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _clean() -> None:
    """Removes working containers and images without a name, so that the store holds the base and nothing else."""
    _buildah("rm", "--all")
    _buildah("rmi", "--prune")


def _store() -> Path:
    return cache_home() / "buildah"


def _buildah(*arguments: str) -> str:
    return commands.run("buildah", f"--root={_store() / 'root'}", f"--runroot={_store() / 'run'}", *arguments)
