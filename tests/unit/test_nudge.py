"""kube/nudge.py: how many Jobs may be nudged, and in which order.

What the order comes to in many minutes is in test_nudge_turns.py. Whether a nudge makes a pod shows on a real cluster:
tests/cluster/test_nudge.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.job import Job, JobState
from region_operator.kube.nudge import EFFECT_SECONDS, Nudger, free_slots, nudge_patch
from region_tick.contract import LATENESS_TOLERANCE_SECONDS
from tests.harness.clock import Clock
from tests.harness.waiting_jobs import MINUTE, START_DEADLINE, job, quota

if TYPE_CHECKING:
    from region_operator.kube.waiting_job import WaitingJob


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nudger(clock: Clock) -> Nudger:
    return Nudger(clock=clock, wall_clock=lambda: MINUTE * 60 + clock.now)


TURNS = [("new", 2), ("b", 2), ("a", 1), ("c", 1)]


def gone(found: Job) -> Job:
    return replace(found, state=JobState.GONE)


def names(chosen: list[WaitingJob]) -> list[str]:
    return [waits.name for waits in chosen]


@pytest.mark.parametrize(
    ("body", "free"),
    [
        (quota(hard=4, used=1), 3),
        (quota(hard=4, used=4), 0),
        (quota(hard=2, used=4), 0),
        ({"status": {"hard": {"pods": "2k"}, "used": {"pods": "1k"}}}, 1000),
        ({"metadata": {"name": "region-tick"}}, 0),
        ({"metadata": {"name": "region-tick"}, "status": {"hard": {"pods": "4"}}}, 0),
    ],
)
def test_free_slots(body: dict[str, Any], free: int) -> None:
    assert free_slots(body) == free


def test_of_regions_that_never_started_the_older_tick_goes_first(nudger: Nudger) -> None:
    for body in (job(f"b-{MINUTE}"), job(f"a-{MINUTE + 1}"), job(f"a-{MINUTE}")):
        nudger.observe_job(body)
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    assert names(nudger.choose_jobs()) == [f"a-{MINUTE}", f"b-{MINUTE}", f"a-{MINUTE + 1}"]


def test_the_region_that_started_longest_ago_goes_first_whatever_its_minute(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    for clock.now, region in ((1.0, "b"), (2.0, "a"), (3.0, "c")):
        nudger.observe_job(job(f"{region}-{MINUTE}"))
        nudger.observe_job(job(f"{region}-{MINUTE}", active=1))
    for region, minute in (("a", 1), ("b", 2), ("c", 1), ("new", 2)):
        nudger.observe_job(job(f"{region}-{MINUTE + minute}"))
    assert names(nudger.choose_jobs()) == [f"{region}-{MINUTE + minute}" for region, minute in TURNS]


def test_reruns_come_after_all_ticks_and_are_no_start_of_their_region(nudger: Nudger) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    again = [{"name": "TICK_RERUN_OF", "value": "2026-11-24T01:00:00Z"}]
    for name in ("b-29900000-r1", "a-29900000-r1"):
        nudger.observe_job(job(name, environment=again))
    nudger.observe_job(job("c-29900000-r1", environment=again, active=1))
    for region in ("d", "c"):
        nudger.observe_job(job(f"{region}-{MINUTE}"))
    assert names(nudger.choose_jobs()) == [f"c-{MINUTE}", f"d-{MINUTE}", "a-29900000-r1", "b-29900000-r1"]


def test_a_job_starts_when_its_wait_ends_and_not_at_each_event_after(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    nudger.observe_job(job(f"waited-{MINUTE}"))
    clock.now = 5.0
    nudger.observe_job(job(f"waited-{MINUTE}", active=1))
    nudger.observe_job(job(f"other-{MINUTE}", active=1, startTime="2026-11-24T06:17:06Z"))
    clock.now = 9.0
    nudger.observe_job(job(f"waited-{MINUTE}", terminating=1))
    nudger.observe_job(gone(job(f"waited-{MINUTE}", terminating=1)))
    for region in ("other", "waited"):
        nudger.observe_job(job(f"{region}-{MINUTE + 1}"))
    assert names(nudger.choose_jobs()) == [f"waited-{MINUTE + 1}", f"other-{MINUTE + 1}"]


def test_a_new_leader_learns_from_jobs_and_cronjobs_whose_turn_it_is(clock: Clock) -> None:
    successes = {"b": "2026-11-24T06:16:10Z", "c": "2026-11-24T06:16:30Z"}
    nudger = Nudger(
        last_success=lambda name: successes.get(name, ""), clock=clock, wall_clock=lambda: MINUTE * 60 + clock.now
    )
    nudger.observe_job(job(f"c-{MINUTE - 1}", failed=1, startTime="2026-11-24T06:16:05Z"))
    nudger.observe_job(job(f"d-{MINUTE - 1}", active=1, startTime="2026-11-24T06:16:20Z"))
    for region in "dbca":
        nudger.observe_job(job(f"{region}-{MINUTE}"))
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    assert names(nudger.choose_jobs()) == [f"{region}-{MINUTE}" for region in "acbd"]


def test_a_retry_has_its_turn_once_its_controllers_back_off_is_over(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    nudger.observe_job(job(failed=1))
    clock.now = 9.0
    nudger.observe_job(job(failed=1))
    assert nudger.choose_jobs() == []
    clock.now = 10.0
    assert names(nudger.choose_jobs()) == [f"r1-{MINUTE}"]
    nudger.observe_job(job(failed=2))
    assert nudger.choose_jobs() == []


def test_a_nudge_changes_the_spec_each_time_by_a_second_of_the_ttl(nudger: Nudger) -> None:
    def patch(ttl: int | None) -> dict[str, Any]:
        nudger.observe_job(job(ttl=ttl))
        [waiting] = nudger.choose_jobs()
        return nudge_patch(waiting, 1.5)

    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    metadata = {"uid": f"uid of r1-{MINUTE}", "annotations": {"region-tick.dev/nudged": "1.500"}}
    assert patch(86_400) == {"metadata": metadata, "spec": {"ttlSecondsAfterFinished": 86_401}}
    assert patch(86_401) == {"metadata": metadata, "spec": {"ttlSecondsAfterFinished": 86_402}}
    assert patch(None) == {"metadata": metadata}


def test_nobody_is_nudged_where_no_slot_is_free(nudger: Nudger) -> None:
    nudger.observe_job(job())
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=4), deleted=False)
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=0, name="another"), deleted=False)
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    assert len(nudger.choose_jobs()) == 1
    nudger.observe_quota(quota(hard=4, used=3), deleted=True)
    assert nudger.choose_jobs() == []


@pytest.mark.parametrize("waits_no_longer", [job(active=1), gone(job())])
def test_who_waits_no_longer_is_forgotten(nudger: Nudger, waits_no_longer: Job) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    nudger.observe_job(job())
    assert nudger.choose_jobs()
    nudger.observe_job(waits_no_longer)
    assert nudger.choose_jobs() == []


def test_a_slot_is_given_to_one_until_it_shows_that_it_was_not_taken(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    for name in (f"a-{MINUTE}", f"b-{MINUTE}"):
        nudger.observe_job(job(name))
    first = nudger.choose_jobs()
    nudger.remember_nudges(first)
    assert names(first) == [f"a-{MINUTE}"]
    assert nudger.choose_jobs() == []
    clock.now = EFFECT_SECONDS
    assert names(nudger.choose_jobs()) == [f"a-{MINUTE}"]


def test_a_slot_that_was_taken_leaves_the_next_free_one_to_the_next(nudger: Nudger) -> None:
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    for name in (f"a-{MINUTE}", f"b-{MINUTE}"):
        nudger.observe_job(job(name))
    nudger.remember_nudges(nudger.choose_jobs())
    nudger.observe_quota(quota(hard=4, used=4), deleted=False)
    nudger.observe_job(job(f"a-{MINUTE}", active=1))
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    assert names(nudger.choose_jobs()) == [f"b-{MINUTE}"]


def test_whom_nudges_do_not_help_rests_longer_each_time_until_a_slot_gets_free(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=2), deleted=False)
    nudger.observe_job(job(f"r1-{MINUTE + 9}"))
    nudges = []
    while clock.now < 200:
        if chosen := nudger.choose_jobs():
            nudges.append(clock.now)
            nudger.remember_nudges(chosen)
        clock.now += 0.5
    assert nudges == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    nudger.observe_quota(quota(hard=4, used=1), deleted=False)
    assert len(nudger.choose_jobs()) == 1


def test_who_came_too_late_gets_no_slot_to_say_so_but_a_retry_is_never_late(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    nudger.observe_job(job(f"late-{MINUTE}"))
    nudger.observe_job(job(f"retry-{MINUTE}", failed=1))
    clock.now = START_DEADLINE + LATENESS_TOLERANCE_SECONDS
    assert names(nudger.choose_jobs()) == [f"late-{MINUTE}", f"retry-{MINUTE}"]
    clock.now += 0.1
    assert names(nudger.choose_jobs()) == [f"retry-{MINUTE}"]


def test_a_pod_that_came_too_late_to_claim_is_no_start(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    for region in "ab":
        nudger.observe_job(job(f"{region}-{MINUTE}"))
    nudger.observe_job(job(f"a-{MINUTE}", active=1))
    clock.now = START_DEADLINE + LATENESS_TOLERANCE_SECONDS + 0.1
    assert nudger.choose_jobs() == []
    nudger.observe_job(job(f"b-{MINUTE}", active=1))
    for region in "ab":
        nudger.observe_job(job(f"{region}-{MINUTE + 1}"))
    assert names(nudger.choose_jobs()) == [f"b-{MINUTE + 1}", f"a-{MINUTE + 1}"]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=30),
    st.integers(0, 5),
    st.integers(0, 6),
)
def test_never_more_than_there_are_free_slots(waits: list[tuple[int, int, bool]], hard: int, used: int) -> None:
    clock = Clock()
    nudger = Nudger(clock=clock, wall_clock=lambda: MINUTE * 60 + clock.now)
    nudger.observe_quota(quota(hard=hard, used=used), deleted=False)
    for region, minutes, retries in waits:
        nudger.observe_job(job(f"r{region}-{MINUTE + minutes}", failed=int(retries)))
    clock.now = 10.0
    nudged: set[str] = set()
    while chosen := nudger.choose_jobs():
        assert not nudged & set(names(chosen))
        nudger.remember_nudges(chosen)
        nudged |= set(names(chosen))
    assert len(nudged) == min(max(0, hard - used), len({(region, minutes) for region, minutes, _ in waits}))
