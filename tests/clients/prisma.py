"""Prisma: a generated client of version 7, and the migrations of version 6.

Version 7 migrates by a program from a host of Prisma's own, which need not be reachable. Version 6 can do so by a
library that the package itself brings.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.processes import client_process
from tests.harness.npm import install_node, install_packages

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.clients.edits import Client

_APP = Path(__file__).parent / "prisma_app"
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
    return client_process([install_node(), "edit.mjs"], environment={"DATABASE_URL": url}, folder=app)


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
            [install_node(), program, *arguments, "--config", config],
            cwd=app,
            env=os.environ | _ENVIRONMENT | {"DATABASE_URL": self.database, "APPLICATION": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_SECONDS,
        )


def _install_app() -> Path:
    """Install the pinned packages beside a copy of the application, and generate its client."""
    generate = ("node_modules/prisma/build/index.js", "generate")
    return install_packages(_APP, "prisma", then=generate, environment=_ENVIRONMENT)
