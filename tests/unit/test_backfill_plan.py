"""kubectl_region/backfill_plan.py: which ticks are run again, in which order, how many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_region.backfill_plan import (
    Outcome,
    Rerun,
    Tally,
    Wanted,
    free_places,
    is_wanted,
    limit_of,
    next_reruns,
    read_wanted,
    tally,
    with_free_name,
)
from kubectl_region.errors import PluginError
from region_tick.contract import State

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

reruns = st.builds(
    lambda region, minutes: Rerun(code=region, cronjob=f"{region}-key", tick_at=NOON + minutes * MINUTE),
    st.sampled_from("abcdef"),
    st.integers(0, 20),
)
plans = st.lists(reruns, unique_by=lambda rerun: rerun.job)


@pytest.mark.parametrize(
    ("state", "reason", "wanted", "taken"),
    [
        ("missed", "not created", {Wanted.MISSED}, True),
        ("failed", "error", {Wanted.MISSED}, False),
        ("skipped", "late", {Wanted.SKIPPED}, True),
        ("skipped", "suspended", {Wanted.SKIPPED}, False),
        ("skipped", "suspended", {Wanted.SUSPENDED}, True),
        ("skipped", "late", {Wanted.SUSPENDED}, False),
        *((state, None, set(Wanted), False) for state in ("succeeded", "running", "interrupted")),
    ],
)
def test_final_ticks_that_did_not_succeed_are_taken(
    state: str, reason: str | None, wanted: set[Wanted], *, taken: bool
) -> None:
    assert is_wanted(state, reason, wanted) is taken


@given(
    st.sampled_from(list(State)), st.sampled_from([None, "ok", "suspended", "late"]), st.sets(st.sampled_from(Wanted))
)
def test_a_success_and_an_open_tick_are_never_taken(state: State, reason: str | None, wanted: set[Wanted]) -> None:
    if is_wanted(state, reason, wanted):
        assert state.final
        assert state is not State.SUCCEEDED


@pytest.mark.parametrize(
    ("concurrency", "wanted", "limit"),
    [(4, None, 2), (1, None, 1), (5, None, 2), (4, 1, 1), (4, 4, 4), (4, 9, 4), (1, 9, 1)],
)
def test_half_of_the_cap_is_used_and_never_more_than_the_cap(concurrency: int, wanted: int | None, limit: int) -> None:
    assert limit_of(concurrency, wanted) == limit


@pytest.mark.parametrize(
    ("limit", "ours", "others", "free"),
    [(1, 0, 2, 1), (1, 1, 0, 0), (2, 1, 2, 1), (2, 0, 3, 1), (2, 0, 4, 0), (4, 2, 0, 2), (1, 0, 9, -5)],
)
def test_a_backfill_of_others_takes_no_place_of_ours_below_the_cap(
    limit: int, ours: int, others: int, free: int
) -> None:
    """The cap is 4."""
    assert free_places(limit, 4, ours=ours, all_reruns=ours + others) == free


@given(plans, st.sets(st.sampled_from("abcdef").map("{}-key".format)), st.integers(-2, 8))
def test_one_tick_of_each_region_at_a_time_the_oldest_first(plan: list[Rerun], busy: set[str], free: int) -> None:
    chosen = next_reruns(plan, busy=busy, free=free)
    cronjobs = [rerun.cronjob for rerun in chosen]
    assert len(chosen) <= max(free, 0)
    assert len(set(cronjobs)) == len(cronjobs)
    assert not set(cronjobs) & busy
    for rerun in chosen:
        assert rerun.tick_at == min(other.tick_at for other in plan if other.cronjob == rerun.cronjob)
    idle = {rerun.cronjob for rerun in plan} - busy - set(cronjobs)
    assert not idle or len(chosen) == max(free, 0), "a free slot is used"


@given(plans, st.integers(1, 4))
def test_every_tick_is_run_once_and_never_more_at_once_than_allowed(plan: list[Rerun], limit: int) -> None:
    waiting = {rerun.job: rerun for rerun in plan}
    running: list[Rerun] = []
    done: list[Rerun] = []
    while waiting or running:
        begun = next_reruns(
            list(waiting.values()), busy={rerun.cronjob for rerun in running}, free=limit - len(running)
        )
        running += [waiting.pop(rerun.job) for rerun in begun]
        assert 0 < len(running) <= limit
        done.append(running.pop(0))
    assert sorted(rerun.job for rerun in done) == sorted(rerun.job for rerun in plan)


def test_the_same_rerun_has_the_same_job_and_the_next_attempt_another() -> None:
    rerun = Rerun(code="a", cronjob="ch-zrh-0123456789ab", tick_at=NOON)
    assert rerun.job == "ch-zrh-0123456789ab-29934000-r1"
    assert Rerun(code="a", cronjob="ch-zrh-0123456789ab", tick_at=NOON, attempt=3).job.endswith("-r4")


def test_a_name_whose_job_has_ended_is_not_used_again() -> None:
    rerun = Rerun(code="a", cronjob="ch-zrh-0123456789ab", tick_at=NOON)
    assert with_free_name(rerun, set()) is rerun
    ended = {"ch-zrh-0123456789ab-29934000-r1", "ch-zrh-0123456789ab-29934000-r2"}
    assert with_free_name(rerun, ended).job == "ch-zrh-0123456789ab-29934000-r3"


def test_a_tally_says_how_far_it_is() -> None:
    counted = tally(50, [Outcome.SUCCEEDED] * 10 + [Outcome.FAILED], running=2)
    assert counted == Tally(50, 10, 1, 2)
    assert str(counted) == "11 of 50: 10 succeeded, 1 failed, 2 running, 37 left"


def test_a_state_that_is_none_is_named_with_those_that_are() -> None:
    assert read_wanted("missed, suspended") == {Wanted.MISSED, Wanted.SUSPENDED}
    with pytest.raises(PluginError, match='--state "broken" is none of missed,failed,skipped,suspended'):
        read_wanted("missed,broken")
