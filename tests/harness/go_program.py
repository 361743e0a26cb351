"""Builds the Go programs of tests/go, each once for each version of its source."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from devcluster.files import exclusively
from devcluster.state import cache_home
from devcluster.toolchain import go_for

PROGRAMS = Path(__file__).parents[1] / "go"
BUILD_SECONDS = 300


def go_program(name: str) -> Path:
    """Return the program of the folder `name`, and build the program first if need be."""
    source = PROGRAMS / name
    version = hashlib.sha256(b"".join((source / file).read_bytes() for file in ("main.go", "go.mod", "go.sum")))
    binary = cache_home() / f"{name.replace('_', '-')}-{version.hexdigest()[:12]}"
    with exclusively(binary):
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
            command = [str(go_for(source)), "build", "-buildvcs=false", "-trimpath", f"-o={partial}", "."]
            subprocess.run(command, cwd=source, env=os.environ | settings, check=True, timeout=BUILD_SECONDS)
            partial.replace(binary)
    return binary
