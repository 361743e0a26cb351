"""No claim breaks its promise whatever happens to claimers, and one that can break it is found out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from region_tick.contract import State
from tests.faults.claims import CLAIMERS, CLAIMS, SEED, game
from tests.faults.claims_bugs import Bug
from tests.faults.claims_history import Crime
from tests.faults.claims_plan import Harm, Plan
from tests.harness.long import rounds

JUDGED = rounds(10_000, long=CLAIMS)
pytestmark = [pytest.mark.timeout(1500), pytest.mark.alone]  # a dozen processes take the whole machine


def plan(claims: int) -> Plan:
    return Plan.of(claims, seed=SEED, claimers=CLAIMERS, begin=datetime.now(UTC).replace(second=0, microsecond=0))


@pytest.mark.long
def test_no_promise_is_broken_in_many_thousand_claims() -> None:
    with game(plan(JUDGED)) as played:
        played.play()
    assert played.history.violations == []
    assert played.claims >= JUDGED
    assert played.history.takeovers > 0
    assert played.history.reopened > 0
    assert played.refused >= JUDGED // 20_000, "the fence was hardly needed"  # the short form may be too short for one
    assert set(played.harms) == set(Harm)
    assert min(played.history.count(state) for state in (State.SUCCEEDED, State.FAILED, State.SKIPPED)) > 0


@pytest.mark.parametrize(
    ("bug", "crimes"),
    [
        (Bug.NO_FENCE, {Crime.STALE_EFFECT, Crime.STALE_END, Crime.DONE_TWICE}),
        (Bug.NO_GUARD, {Crime.STALE_EFFECT}),
        (Bug.NO_LEASE, {Crime.EARLY}),
        (Bug.NO_END, {Crime.DONE_TWICE, Crime.SECOND_EFFECT}),
        (Bug.NO_COMPARISON, {Crime.CURSOR_BACK}),
        (Bug.NO_END_OF_RERUN, {Crime.REOPENED}),
        (Bug.CURSOR_OF_RERUN, {Crime.RERUN_CURSOR}),
    ],
)
def test_a_planted_bug_is_found(bug: Bug, crimes: set[Crime]) -> None:
    with game(plan(CLAIMS), bug=bug) as played:
        played.play(until=lambda history: crimes <= {violation.crime for violation in history.violations})
    assert crimes <= {violation.crime for violation in played.history.violations}
