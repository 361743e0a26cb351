"""Builds images from Dockerfiles: by Docker where an engine answers, else by buildah, as root and without any registry.

Believes that the same files give the same image: an archive is kept in the cache under the digest of what it was built
from, and is built only where it is missing. How to build is left to the two builders.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from devcluster import buildah, context, docker, progress
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home

_BUILD_SECONDS = 1800


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
            shutil.rmtree(home, ignore_errors=True)  # the archives of what was before
            home.mkdir(parents=True)
            partial = archive.with_suffix(".partial")
            (_build_with_docker if engine else buildah.build)(source, tag, base, target, partial)
            partial.rename(archive)
    return archive


def _build_with_docker(source: Path, tag: str, base: Path | None, target: str | None, archive: Path) -> None:
    with progress.step(f"building image {tag} with Docker"):
        if base:
            _docker("load", f"--input={base}")
        _docker("build", f"--tag={tag}", *([f"--target={target}"] if target else []), str(source))
        _docker("save", f"--output={archive}", tag)


def _docker(*arguments: str) -> None:
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
    if done.returncode:
        message = f"`{' '.join(command)}` failed:\n{done.stderr.strip()[-4000:]}"
        raise ClusterError(message)
