"""kube/nudge.py: which Jobs wait, how many Jobs may be nudged, and in which order.

Whether a nudge makes a pod shows on a real cluster: tests/cluster/test_nudge.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.kube.nudge import EFFECT_SECONDS, Nudger, WaitingJob, free_slots, waiting_job
from region_tick.contract import LATENESS_TOLERANCE_SECONDS
from tests.harness.clock import Clock

MINUTE = 29_925_017
START_DEADLINE = 20
ENVIRONMENT = [{"name": "JOB_NAME", "valueFrom": {}}, {"name": "TICK_START_DEADLINE_SECONDS", "value": "20"}]


def job(name: str = f"r1-{MINUTE}", *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    """Return a Job whose first pod the quota refused, changed by `status`."""
    going = {"deletionTimestamp": "2026-11-24T06:17:30Z"} if deleted else {}
    status = {"startTime": "2026-11-24T06:17:00Z"} | status
    return {
        "metadata": {"name": name, "uid": f"uid of {name}"} | going,
        "spec": {"template": {"spec": {"containers": [{"name": "tick", "env": ENVIRONMENT}]}}},
        "status": {key: value for key, value in status.items() if value is not None},
    }


def quota(*, hard: int, used: int, name: str = "region-tick") -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"hard": {"pods": str(hard)}, "used": {"pods": str(used)}}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nudger(clock: Clock) -> Nudger:
    return Nudger(clock=clock, wall_clock=lambda: MINUTE * 60 + clock.now)


def names(chosen: list[WaitingJob]) -> list[str]:
    return [waits.name for waits in chosen]


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        (job(), True),
        (job(active=0), True),
        (job(failed=1), True),
        (job(conditions=[{"type": "Suspended", "status": "False"}]), True),
        (job(startTime=None), False),
        (job(active=1), False),
        (job(terminating=1), False),
        (job(conditions=[{"type": "Complete", "status": "True"}]), False),
        (job(conditions=[{"type": "FailureTarget", "status": "True"}]), False),
        (job(conditions=[{"type": "Suspended", "status": "True"}]), False),
        (job(deleted=True), False),
        (job("by-hand"), False),
        ({"metadata": {"name": f"r1-{MINUTE}", "uid": "u"}}, False),
    ],
)
def test_a_job_waits_where_its_controller_could_not_make_the_pod(body: dict[str, Any], *, waits: bool) -> None:
    assert (waiting_job(body) is not None) is waits


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


def test_the_oldest_go_first_and_those_that_had_a_pod_last(nudger: Nudger) -> None:
    for body in (job(f"b-{MINUTE}"), job(f"a-{MINUTE + 1}"), job(f"c-{MINUTE - 1}", failed=1), job(f"a-{MINUTE}")):
        nudger.observe_job(body, deleted=False)
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    assert names(nudger.choose_jobs()) == [f"a-{MINUTE}", f"b-{MINUTE}", f"a-{MINUTE + 1}", f"c-{MINUTE - 1}"]


def test_nobody_is_nudged_where_no_slot_is_free(nudger: Nudger) -> None:
    nudger.observe_job(job(), deleted=False)
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=4), deleted=False)
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=0, name="another"), deleted=False)
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    assert len(nudger.choose_jobs()) == 1
    nudger.observe_quota(quota(hard=4, used=3), deleted=True)
    assert nudger.choose_jobs() == []


@pytest.mark.parametrize("event", [(job(active=1), False), (job(), True)])
def test_who_waits_no_longer_is_forgotten(nudger: Nudger, event: tuple[dict[str, Any], bool]) -> None:
    nudger.observe_quota(quota(hard=4, used=0), deleted=False)
    nudger.observe_job(job(), deleted=False)
    assert nudger.choose_jobs()
    body, deleted = event
    nudger.observe_job(body, deleted=deleted)
    assert nudger.choose_jobs() == []


def test_a_slot_is_given_to_one_until_it_shows_that_it_was_not_taken(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    for name in (f"a-{MINUTE}", f"b-{MINUTE}"):
        nudger.observe_job(job(name), deleted=False)
    first = nudger.choose_jobs()
    nudger.remember_nudges(first)
    assert names(first) == [f"a-{MINUTE}"]
    assert nudger.choose_jobs() == []
    clock.now = EFFECT_SECONDS
    assert names(nudger.choose_jobs()) == [f"a-{MINUTE}"]


def test_a_slot_that_was_taken_leaves_the_next_free_one_to_the_next(nudger: Nudger) -> None:
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    for name in (f"a-{MINUTE}", f"b-{MINUTE}"):
        nudger.observe_job(job(name), deleted=False)
    nudger.remember_nudges(nudger.choose_jobs())
    nudger.observe_quota(quota(hard=4, used=4), deleted=False)
    nudger.observe_job(job(f"a-{MINUTE}", active=1), deleted=False)
    assert nudger.choose_jobs() == []
    nudger.observe_quota(quota(hard=4, used=3), deleted=False)
    assert names(nudger.choose_jobs()) == [f"b-{MINUTE}"]


def test_whom_nudges_do_not_help_rests_longer_each_time_until_a_slot_gets_free(nudger: Nudger, clock: Clock) -> None:
    nudger.observe_quota(quota(hard=4, used=2), deleted=False)
    nudger.observe_job(job(failed=1), deleted=False)
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
    nudger.observe_job(job(f"late-{MINUTE}"), deleted=False)
    nudger.observe_job(job(f"retry-{MINUTE}", failed=1), deleted=False)
    clock.now = START_DEADLINE + LATENESS_TOLERANCE_SECONDS
    assert names(nudger.choose_jobs()) == [f"late-{MINUTE}", f"retry-{MINUTE}"]
    clock.now += 0.1
    assert names(nudger.choose_jobs()) == [f"retry-{MINUTE}"]
    clock.now = 0.0
    assert names(nudger.choose_jobs()) == [f"retry-{MINUTE}"], "it is forgotten"


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=30),
    st.integers(0, 5),
    st.integers(0, 6),
)
def test_never_more_than_there_are_free_slots(waits: list[tuple[int, int, bool]], hard: int, used: int) -> None:
    nudger = Nudger(clock=Clock(), wall_clock=lambda: MINUTE * 60)
    nudger.observe_quota(quota(hard=hard, used=used), deleted=False)
    for region, minutes, retries in waits:
        nudger.observe_job(job(f"r{region}-{MINUTE + minutes}", failed=int(retries)), deleted=False)
    nudged: set[str] = set()
    while chosen := nudger.choose_jobs():
        assert not nudged & set(names(chosen))
        nudger.remember_nudges(chosen)
        nudged |= set(names(chosen))
    assert len(nudged) == min(max(0, hard - used), len({(region, minutes) for region, minutes, _ in waits}))
