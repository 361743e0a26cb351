"""A client in a process of its own, which takes each edit as a line of JSON and answers with a line."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.clients.edits import Client, Edit


class ClientError(Exception):
    """The client's own error, as a text."""


@contextmanager
def client_process(command: Sequence[str | Path], *, environment: Mapping[str, str], folder: Path) -> Iterator[Client]:
    """Run a client for the `with` block. An edit that fails raises ClientError."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def edit(wanted: Edit) -> None:
            asked.write(json.dumps(asdict(wanted)) + "\n")
            answer = answers.readline()
            error = json.loads(answer)["error"] if answer else "the client has ended"
            if error:
                raise ClientError(error)

        try:
            yield edit
        finally:
            process.kill()
