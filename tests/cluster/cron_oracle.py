"""robfig/cron v3.0.1 itself, asked in bulk: a small Go program, built once for each version of its source."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.harness.go_program import go_program

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    said = subprocess.run(
        [go_program("cron_oracle")], input=asked, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS
    )
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert [answer["error"] for answer in answers] == [""] * len(questions)
    return [[datetime.fromtimestamp(time, UTC) for time in answer["times"]] for answer in answers]
