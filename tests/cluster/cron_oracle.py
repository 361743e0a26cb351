"""robfig/cron v3.0.1 itself, asked in bulk: a small Go program, built once for each version of its source."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.files import exclusively
from devcluster.state import cache_home
from devcluster.toolchain import go_for

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).parents[1] / "go" / "cron_oracle"
BUILD_SECONDS = 300
ANSWER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Question:
    """Which are the first `count` times of `schedule` strictly after a moment, in whole seconds?"""

    schedule: str
    after: datetime
    count: int


def times(questions: Sequence[Question]) -> list[list[datetime]]:
    """Return the times that each question asks for, in UTC; fewer where there are no more within five years.

    Raises AssertionError where a schedule is none.
    """
    asked = "".join(
        json.dumps({"schedule": each.schedule, "after": int(each.after.timestamp()), "count": each.count}) + "\n"
        for each in questions
    )
    said = subprocess.run([_built()], input=asked, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert [answer["error"] for answer in answers] == [""] * len(questions)
    return [[datetime.fromtimestamp(time, UTC) for time in answer["times"]] for answer in answers]


def _built() -> Path:
    version = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")))
    binary = cache_home() / f"cron-oracle-{version.hexdigest()[:12]}"
    with exclusively(binary):
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
            command = [str(go_for(SOURCE)), "build", "-buildvcs=false", "-trimpath", f"-o={partial}", "."]
            subprocess.run(command, cwd=SOURCE, env=os.environ | settings, check=True, timeout=BUILD_SECONDS)
            partial.replace(binary)
    return binary
