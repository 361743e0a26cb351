"""Builds images from Dockerfiles: with Docker if an engine answers, or with buildah as root and without a registry.

The same files give the same image. The cache therefore keeps each archive under a digest of its source files, and only
a missing archive is built. A build removes the archives that were not used for a day. Two modules know how to build:
Docker's builder is below, buildah's in the module buildah.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from devcluster import buildah, commands, context, docker, progress
from devcluster.files import exclusively
from devcluster.state import cache_home

_KEPT_SECONDS = 86400


def build(dockerfile: Path, tag: str, *, base: Path | None = None, target: str | None = None) -> Path:
    """Build the image if anything has changed, and return the path of a docker-archive with the tag `tag`.

    The build context is the Dockerfile's folder. `base` is the archive of the image that the Dockerfile is FROM, if
    that is one of the project's images. `target` is a stage of the Dockerfile, by default the last stage. Raises
    ClusterError if the build fails, or if there is neither Docker nor root.
    """
    engine = docker.engine_answers()
    arguments = {
        "builder": "docker" if engine else buildah.base_name(),
        "tag": tag,
        "base": base.name if base else "",
        "target": target or "",
    }
    home = cache_home() / "images" / tag.replace("/", "_").replace(":", "_")
    with exclusively(home), tempfile.TemporaryDirectory(prefix="region-tick-") as folder:
        source = Path(folder)
        context.gather(dockerfile, source)
        archive = home / f"{context.digest(source, arguments)}.tar"
        if not archive.exists():
            _remove_old(home)
            home.mkdir(parents=True, exist_ok=True)
            partial = archive.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            if engine:
                _build_with_docker(source, tag, base, target, partial)
            else:
                buildah.build(source, tag, destination=f"docker-archive:{partial}:{tag}", base=base, target=target)
            partial.rename(archive)
        os.utime(archive)
    return archive


def _remove_old(home: Path) -> None:
    """Remove the archives that were not used for a day. Another checkout may be about to load a younger archive."""
    for archive in home.glob("*"):
        if archive.stat().st_mtime < time.time() - _KEPT_SECONDS:
            archive.unlink()


def _build_with_docker(source: Path, tag: str, base: Path | None, target: str | None, archive: Path) -> None:
    with progress.step(f"building image {tag} with Docker"):
        if base:
            commands.run("docker", "load", f"--input={base}")
        commands.run("docker", "build", f"--tag={tag}", *([f"--target={target}"] if target else []), str(source))
        commands.run("docker", "save", f"--output={archive}", tag)
