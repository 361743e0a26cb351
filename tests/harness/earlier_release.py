"""Runs the operator and the ticks of an earlier release, from the commit's tree and with today's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = "56ec905d4ac30bdb8a278dc0fbf3eb44cfe47073"
"""Release 0.1.0. It leaves a newer schema alone, so there is no way back to it."""
NO_HISTORY = "no commit of an earlier release: this checkout has no history"


@dataclass(frozen=True, slots=True)
class EarlierRelease:
    """The tree of a commit, unpacked in `folder`."""

    folder: Path

    @classmethod
    def of(cls, commit: str, folder: Path) -> EarlierRelease:
        """Unpack a commit into `folder`. Skip the test in a checkout without history (`git clone --depth 1`)."""
        git = ("git", "-C", str(CHECKOUT))
        if subprocess.run([*git, "cat-file", "-e", commit], capture_output=True, check=False, timeout=30).returncode:
            pytest.skip(NO_HISTORY)
        folder.mkdir()
        parts = ("operator", "tick_image", "crds", "manifests")
        tree = subprocess.run([*git, "archive", commit, *parts], capture_output=True, check=True, timeout=60).stdout
        subprocess.run(["tar", "--extract", "--directory", str(folder)], input=tree, check=True, timeout=60)
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Python finds this release instead of today's."""
        return {"PYTHONPATH": os.pathsep.join(str(self.folder / part) for part in ("operator", "tick_image"))}

    @contextmanager
    def run_operator(self, environment: dict[str, str]) -> Iterator[Path]:
        """Run the operator for the `with` block, and yield its log. In the end it stops as a kubelet stops it."""
        log = self.folder / f"operator-{len(list(self.folder.iterdir()))}.log"
        everything = os.environ | {"HEALTH_PORT": "0"} | environment | self.environment
        command = [sys.executable, "-m", "region_operator", "run"]
        with (
            log.open("w") as output,
            subprocess.Popen(command, env=everything, stdout=output, stderr=output) as process,
        ):
            try:
                yield log
                assert process.poll() is None, log.read_text()[-2000:]
                process.terminate()
                process.wait(30)
            finally:
                process.kill()
