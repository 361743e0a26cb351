"""Runs programs of others that end with the tests, however the tests end."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

WITH_US = '"$0" "$@" & read -r _; kill -9 $!; wait'
"""A shell command that runs the program of its arguments. When the shell's stdin ends, the shell kills the program."""


@contextmanager
def attached(command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a program until the end of the block, or of this process, with its output in `log`."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["sh", "-c", WITH_US, *command],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as shell,
    ):
        try:
            yield
        finally:
            shell.communicate()
