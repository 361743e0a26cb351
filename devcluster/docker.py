"""Checks for a Docker engine. The command `docker` alone proves nothing: many machines have no engine behind it."""

from __future__ import annotations

import shutil
import subprocess

_SECONDS = 20


def engine_answers() -> bool:
    """Tell whether a Docker engine answers within 20 s."""
    if not shutil.which("docker"):
        return False
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
