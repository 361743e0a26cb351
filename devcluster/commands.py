"""Runs a build program, and reports the program's output if the program fails or does not end."""

from __future__ import annotations

import subprocess

from devcluster.errors import ClusterError

BUILD_SECONDS = 1800.0


def run(*command: str, seconds: float = BUILD_SECONDS) -> str:
    """Run a command and return its standard output. Raises ClusterError if the command fails or takes too long.

    The error's message holds the command and the end of its output, so a command must hold no secret. Pass secrets by
    environment variables: the command inherits the environment.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        message = f"`{' '.join(command)}` did not end within {seconds:.0f} s: is what it downloads from reachable?"
        raise ClusterError(message) from error
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-4000:]
        message = f"`{' '.join(command)}` failed:\n{output}"
        raise ClusterError(message)
    return done.stdout
