"""Runs a program that builds something, and tells a person what it said where it fails or does not end."""

from __future__ import annotations

import subprocess

from devcluster.errors import ClusterError

BUILD_SECONDS = 1800.0


def run(*command: str, seconds: float = BUILD_SECONDS) -> str:
    """Standard output; raises ClusterError with the command and the end of what it said. So no secret may stand in it:
    give those by the environment, which the command inherits.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        message = f"`{' '.join(command)}` did not end within {seconds:.0f} s: is what it downloads from reachable?"
        raise ClusterError(message) from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-4000:]
        message = f"`{' '.join(command)}` failed:\n{said}"
        raise ClusterError(message)
    return done.stdout
