"""Builds the Go programs of tests/go, each once for each version of its source.

A large program takes minutes, and a test would hide how far its build is. So `python -m tests.harness.go_program NAME`
builds programs before the tests.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from devcluster import progress
from devcluster.binaries import Source, go_build
from devcluster.files import exclusively
from devcluster.state import cache_home
from devcluster.toolchain import go_for

PROGRAMS = Path(__file__).parents[1] / "go"


def go_program(name: str) -> Path:
    """Return the program of the folder `name`, and build the program first if need be. Raises ClusterError."""
    module = PROGRAMS / name
    texts = b"".join((module / file).read_bytes() for file in ("main.go", "go.mod", "go.sum"))
    source = Source(module, ".", hashlib.sha256(texts).hexdigest()[:12])
    binary = cache_home() / f"{name.replace('_', '-')}-{source.version}"
    with exclusively(binary):
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            with progress.step(f"building {name} of tests/go") as detail:
                go_build(go_for(module), source, partial, detail)
            partial.replace(binary)
    return binary


if __name__ == "__main__":
    for program in sys.argv[1:]:
        go_program(program)
