"""What a claimer is told arrives as it was, what it did outlives it, and its clock is wrong as planned."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.faults.claimer import Arguments, Progress, skew
from tests.faults.claims_bugs import Bug
from tests.faults.claims_plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan.of(50_000, seed=1, claimers=12, begin=datetime(2026, 11, 24, 12, tzinfo=UTC))


@pytest.mark.parametrize("bug", [None, Bug.NO_FENCE])
def test_arguments_arrive_as_they_were(bug: Bug | None, tmp_path: Path) -> None:
    told = Arguments(plan=PLAN, number=3, life=2, url="postgresql://u:p@h/d", progress=tmp_path / "3", bug=bug)
    assert Arguments.decode(told.encode()) == told


def test_progress_begins_with_nothing_and_outlives_who_made_it(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "3")
    assert (progress.claims, progress.refused, progress.position) == (0, 0, 0)
    progress.set(claims=2**40, refused=7, position=5)
    again = Progress(tmp_path / "3")
    assert (again.claims, again.refused, again.position) == (2**40, 7, 5)


def test_clocks_are_wrong_as_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("time", "monotonic"):
        monkeypatch.setattr(time, name, lambda: 1000.25)
    wrong = next(number for number in range(PLAN.claimers) if PLAN.clock(number, 1000))
    skew(PLAN, wrong)
    assert time.monotonic() == time.time() == 1000.25 + PLAN.clock(wrong, 1000)
