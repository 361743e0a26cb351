"""Whether there is a Docker engine: the command alone, without one, is common."""

from __future__ import annotations

import shutil
import subprocess

_SECONDS = 20


def engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0
