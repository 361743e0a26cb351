"""dispatch.py: who waits, how many may be hurried, and in which order. That a nudge makes a pod is the cluster's to say
(tests/cluster/test_dispatch.py).
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.kube.nudge import EFFECT_SECONDS, Nudger, WaitingJob, free_slots, waiting_job
from region_tick.contract import LATENESS_TOLERANCE_SECONDS

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


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dispatcher(clock: Clock) -> Nudger:
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


def test_the_oldest_go_first_and_those_that_had_a_pod_last(dispatcher: Nudger) -> None:
    for body in (job(f"b-{MINUTE}"), job(f"a-{MINUTE + 1}"), job(f"c-{MINUTE - 1}", failed=1), job(f"a-{MINUTE}")):
        dispatcher.observe_job(body, deleted=False)
    dispatcher.observe_quota(quota(hard=4, used=0), deleted=False)
    assert names(dispatcher.due()) == [f"a-{MINUTE}", f"b-{MINUTE}", f"a-{MINUTE + 1}", f"c-{MINUTE - 1}"]


def test_nobody_is_nudged_where_no_slot_is_free(dispatcher: Nudger) -> None:
    dispatcher.observe_job(job(), deleted=False)
    assert dispatcher.due() == []
    dispatcher.observe_quota(quota(hard=4, used=4), deleted=False)
    assert dispatcher.due() == []
    dispatcher.observe_quota(quota(hard=4, used=0, name="another"), deleted=False)
    assert dispatcher.due() == []
    dispatcher.observe_quota(quota(hard=4, used=3), deleted=False)
    assert len(dispatcher.due()) == 1
    dispatcher.observe_quota(quota(hard=4, used=3), deleted=True)
    assert dispatcher.due() == []


@pytest.mark.parametrize("event", [(job(active=1), False), (job(), True)])
def test_who_waits_no_longer_is_forgotten(dispatcher: Nudger, event: tuple[dict[str, Any], bool]) -> None:
    dispatcher.observe_quota(quota(hard=4, used=0), deleted=False)
    dispatcher.observe_job(job(), deleted=False)
    assert dispatcher.due()
    body, deleted = event
    dispatcher.observe_job(body, deleted=deleted)
    assert dispatcher.due() == []


def test_a_slot_is_given_to_one_until_it_shows_that_it_was_not_taken(dispatcher: Nudger, clock: Clock) -> None:
    dispatcher.observe_quota(quota(hard=4, used=3), deleted=False)
    for name in (f"a-{MINUTE}", f"b-{MINUTE}"):
        dispatcher.observe_job(job(name), deleted=False)
    first = dispatcher.due()
    dispatcher.nudged(first)
    assert names(first) == [f"a-{MINUTE}"]
    assert dispatcher.due() == []
    clock.now = EFFECT_SECONDS
    assert names(dispatcher.due()) == [f"a-{MINUTE}"]


def test_a_slot_that_was_taken_leaves_the_next_free_one_to_the_next(dispatcher: Nudger) -> None:
    dispatcher.observe_quota(quota(hard=4, used=3), deleted=False)
    for name in (f"a-{MINUTE}", f"b-{MINUTE}"):
        dispatcher.observe_job(job(name), deleted=False)
    dispatcher.nudged(dispatcher.due())
    dispatcher.observe_quota(quota(hard=4, used=4), deleted=False)
    dispatcher.observe_job(job(f"a-{MINUTE}", active=1), deleted=False)
    assert dispatcher.due() == []
    dispatcher.observe_quota(quota(hard=4, used=3), deleted=False)
    assert names(dispatcher.due()) == [f"b-{MINUTE}"]


def test_whom_nudges_do_not_help_rests_longer_each_time_until_a_slot_gets_free(
    dispatcher: Nudger, clock: Clock
) -> None:
    dispatcher.observe_quota(quota(hard=4, used=2), deleted=False)
    dispatcher.observe_job(job(failed=1), deleted=False)
    nudges = []
    while clock.now < 200:
        if chosen := dispatcher.due():
            nudges.append(clock.now)
            dispatcher.nudged(chosen)
        clock.now += 0.5
    assert nudges == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    dispatcher.observe_quota(quota(hard=4, used=1), deleted=False)
    assert len(dispatcher.due()) == 1


def test_who_came_too_late_gets_no_slot_to_say_so_but_a_retry_is_never_late(dispatcher: Nudger, clock: Clock) -> None:
    dispatcher.observe_quota(quota(hard=4, used=0), deleted=False)
    dispatcher.observe_job(job(f"late-{MINUTE}"), deleted=False)
    dispatcher.observe_job(job(f"retry-{MINUTE}", failed=1), deleted=False)
    clock.now = START_DEADLINE + LATENESS_TOLERANCE_SECONDS
    assert names(dispatcher.due()) == [f"late-{MINUTE}", f"retry-{MINUTE}"]
    clock.now += 0.1
    assert names(dispatcher.due()) == [f"retry-{MINUTE}"]
    clock.now = 0.0
    assert names(dispatcher.due()) == [f"retry-{MINUTE}"], "it is forgotten"


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=30),
    st.integers(0, 5),
    st.integers(0, 6),
)
def test_never_more_than_there_are_free_slots(waits: list[tuple[int, int, bool]], hard: int, used: int) -> None:
    dispatcher = Nudger(clock=Clock(), wall_clock=lambda: MINUTE * 60)
    dispatcher.observe_quota(quota(hard=hard, used=used), deleted=False)
    for region, minutes, retries in waits:
        dispatcher.observe_job(job(f"r{region}-{MINUTE + minutes}", failed=int(retries)), deleted=False)
    nudged: set[str] = set()
    while chosen := dispatcher.due():
        assert not nudged & set(names(chosen))
        dispatcher.nudged(chosen)
        nudged |= set(names(chosen))
    assert len(nudged) == min(max(0, hard - used), len({(region, minutes) for region, minutes, _ in waits}))
