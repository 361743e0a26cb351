"""Builds the Go programs of tests/go, each once for each version of its source.

A large program takes minutes, and a test would hide how far its build is. So `python -m tests.harness.go_program NAME`
builds programs before the tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from devcluster import progress
from devcluster.binaries import Source, go_build
from devcluster.files import exclusively
from devcluster.state import cache_home
from devcluster.toolchain import go_for

PROGRAMS = Path(__file__).parents[1] / "go"
DOWNLOAD_SECONDS = 300


def go_program(name: str) -> Path:
    """Return a program, and build the program first if need be. Raises ClusterError.

    `name` is a folder of tests/go with a main.go, or FOLDER/TOOL: the tool in the folder's go.mod whose package ends
    with /TOOL.
    """
    folder, _, tool = name.partition("/")
    module = PROGRAMS / folder
    package = _package_of(module, tool) if tool else "."
    files = ("go.mod", "go.sum") if tool else ("main.go", "go.mod", "go.sum")
    texts = b"".join((module / file).read_bytes() for file in files)
    source = Source(module, package, hashlib.sha256(texts).hexdigest()[:12])
    binary = cache_home() / f"{(tool or folder).replace('_', '-')}-{source.version}"
    with exclusively(binary):
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            with progress.step(f"building {name} of tests/go") as detail:
                go_build(go_for(module), source, partial, detail)
            partial.replace(binary)
    return binary


def _package_of(module: Path, tool: str) -> str:
    lines = (module / "go.mod").read_text().splitlines()
    return next(line.split()[-1] for line in lines if line.endswith(f"/{tool}"))


def module_folder(name: str, path: str) -> Path:
    """Return the folder with the source of the module `path`, in the version that the folder `name` builds from."""
    folder = PROGRAMS / name
    settings = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run(
        [go_for(folder), "mod", "download", "-json", path],
        cwd=folder,
        env=os.environ | settings,
        capture_output=True,
        check=True,
        timeout=DOWNLOAD_SECONDS,
    )
    return Path(json.loads(done.stdout)["Dir"])


if __name__ == "__main__":
    for program in sys.argv[1:]:
        go_program(program)
