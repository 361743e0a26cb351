"""Builds images from Dockerfiles: by Docker where an engine answers, else by buildah, as root and without any registry.

Believes that the same files give the same image: an archive is kept in the cache under the digest of what it was built
from, and is built only where it is missing; one that nobody asked for in a day goes at the next build. How to build is
left to the two builders.
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
    """The image as a docker-archive that carries `tag`; its context is the Dockerfile's folder, and `base` the archive
    of the image that it is FROM, where that is one of ours; `target` the Dockerfile's stage, by default its last.
    Builds nothing where nothing changed.

    Raises ClusterError where it does not build, or where neither Docker nor root is there.
    """
    engine = docker.engine_answers()
    about = {
        "builder": "docker" if engine else buildah.base_name(),
        "tag": tag,
        "base": base.name if base else "",
        "target": target or "",
    }
    home = cache_home() / "images" / tag.replace("/", "_").replace(":", "_")
    with exclusively(home), tempfile.TemporaryDirectory(prefix="region-tick-") as folder:
        source = Path(folder)
        context.gather(dockerfile, source)
        archive = home / f"{context.digest(source, about)}.tar"
        if not archive.exists():
            _remove_old(home)
            home.mkdir(parents=True, exist_ok=True)
            partial = archive.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            (_build_with_docker if engine else buildah.build)(source, tag, base, target, partial)
            partial.rename(archive)
        os.utime(archive)
    return archive


def _remove_old(home: Path) -> None:
    """Removes the archives that nobody asked for in a day: younger ones another checkout may be about to load."""
    for archive in home.glob("*"):
        if archive.stat().st_mtime < time.time() - _KEPT_SECONDS:
            archive.unlink()


def _build_with_docker(source: Path, tag: str, base: Path | None, target: str | None, archive: Path) -> None:
    with progress.step(f"building image {tag} with Docker"):
        if base:
            commands.run("docker", "load", f"--input={base}")
        commands.run("docker", "build", f"--tag={tag}", *([f"--target={target}"] if target else []), str(source))
        commands.run("docker", "save", f"--output={archive}", tag)
