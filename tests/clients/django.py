"""Django: its ORM and its migrations, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.processes import client_process

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.clients.edits import Client

_CHECKOUT = Path(__file__).parents[2]
_APP = (sys.executable, "-m", "tests.clients.django_app")


def django_client(url: str) -> AbstractContextManager[Client]:
    """Run the ORM on a database for a `with` block."""
    return client_process([*_APP, "edit"], environment={"DATABASE_URL": url}, folder=_CHECKOUT)


def manage(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Django's, and return what came of it. Output and errors are in `stdout`."""
    return subprocess.run(
        [*_APP, *arguments],
        cwd=_CHECKOUT,
        env=os.environ | {"DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
