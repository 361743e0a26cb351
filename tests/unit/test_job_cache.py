"""ledger/job_cache.py: what a Job is read from, and which Jobs and pod failures are remembered for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from region_operator.ledger import job_cache
from region_operator.ledger.job_cache import JobCache, JobState, job_of_pod
from region_operator.ledger.pod_failure import PodFailure, failure_of_pod
from region_tick.contract import Reason
from tests.harness.examples import JOB_AT as AT
from tests.harness.examples import job

NAME = job().name
LATER = AT + timedelta(minutes=5)
TIMED_OUT = ("Failed", "DeadlineExceeded")
IMAGE = PodFailure(Reason.IMAGE, "ImagePullBackOff")


@pytest.mark.parametrize("name", [NAME, "r" * 52 + "-29925240"])
def test_a_pod_is_of_the_job_of_its_name_that_was_there_then(name: str) -> None:
    """Of a long name the pod's leaves out some digits of the minute."""
    pod = f"{name}-"[:58] + "x7z2k"
    found = job(TIMED_OUT, name=name)
    before = replace(found, name=f"{name[:-1]}9", created=AT - timedelta(hours=1), ended=AT - timedelta(minutes=59))
    assert job_of_pod(pod, AT, [before, replace(found, ended=LATER)]) == replace(found, ended=LATER)
    assert job_of_pod(pod, LATER, [before, replace(found, ended=LATER)]) is None
    assert job_of_pod(f"{pod}x", AT, [before, replace(found, ended=LATER)]) is None


def test_what_is_vague_takes_the_place_of_nothing() -> None:
    cache = JobCache()
    cache.remember(job(active=1))
    vague = failure_of_pod({"status": {"phase": "Pending"}})
    assert vague is not None
    cache.remember_failure(NAME, vague)
    assert cache.failure_of(NAME) == vague
    cache.remember_failure(NAME, IMAGE)
    cache.remember_failure(NAME, vague)
    assert cache.failure_of(NAME) == IMAGE


def test_a_job_is_overdue_only_while_it_is_active() -> None:
    patience = timedelta(seconds=10)
    assert not job(active=1).is_overdue(AT + timedelta(seconds=70), patience)
    assert job(active=1).is_overdue(AT + timedelta(seconds=71), patience)
    assert not job(TIMED_OUT).is_overdue(LATER, patience)


def test_a_job_waits_from_its_controllers_first_look_until_it_has_a_pod_or_fails_or_is_gone() -> None:
    cache = JobCache()
    waits = job(name="waits")
    others = [job(name="new", startTime=None), job(name="at-work", active=1), job(TIMED_OUT, name="failed")]
    for found in (waits, *others, job(name="gone")):
        cache.remember(found)
    cache.mark_gone("gone", LATER)
    assert cache.waiting() == [waits]


def test_memory_is_bounded_and_keeps_what_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "MAX_JOBS", 3)
    cache = JobCache()
    for number in range(5):
        cache.remember(job(name=f"j{number}", active=1))
    cache.remember_failure("j4", IMAGE)
    cache.remember_failure("unknown", IMAGE)
    assert (len(cache), cache.get("j1"), cache.failure_of("unknown")) == (3, None, None)
    cache.replace_all([job(name="j4", active=1)], LATER)
    states = {name: found.state for name in ("j2", "j3", "j4") if (found := cache.get(name))}
    assert states == {"j2": JobState.GONE, "j3": JobState.GONE, "j4": JobState.ACTIVE}
    cache.forget(LATER + timedelta(seconds=1))
    assert len(cache) == 1
    assert cache.failure_of("j4") == IMAGE
    cache.remember(job(("Complete", ""), name="j4"))
    assert (len(cache), cache.failure_of("j4")) == (0, None)


def test_a_pod_that_was_there_is_remembered_when_the_counts_no_longer_say_so() -> None:
    cache = JobCache()
    cache.remember(job(active=1))
    cache.remember(job(TIMED_OUT))
    found = cache.get(NAME)
    assert found is not None
    assert found.had_pod
    assert cache.by_region() == {"k": [found]}
    cache.remember(job(TIMED_OUT, uid="another"))
    found = cache.get(NAME)
    assert found is not None
    assert not found.had_pod


def test_what_may_have_succeeded_is_forgotten_before_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "MAX_JOBS", 3)
    cache = JobCache()
    cache.remember(job(TIMED_OUT, name="failed"))
    for number in range(5):  # a success, where only the others are watched
        cache.remember(job(name=f"j{number}", active=1))
        cache.mark_gone(f"j{number}", LATER)
    cache.remember(job(name="active", active=1))
    assert [name for name in ("failed", "j3", "j4", "active") if cache.get(name)] == ["failed", "j4", "active"]
    cache.remember(job(name="j4", active=1))  # another of the same name
    cache.remember(job(name="last", active=1))
    assert [name for name in ("failed", "j4", "active", "last") if cache.get(name)] == ["j4", "active", "last"]
