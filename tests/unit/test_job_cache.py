"""ledger/job_cache.py: which Jobs and pod failures are remembered for how long, whatever order the news come in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_operator.cronjobs.job import Job, JobState
from region_operator.ledger import job_cache
from region_operator.ledger.job_cache import JobCache, job_of_pod
from region_operator.ledger.pod_failure import PodFailure, failure_of_pod
from region_operator.ledger.pod_wire import Pod, PodStatus
from region_tick.contract import Reason
from tests.harness.examples import JOB_AT as AT
from tests.harness.examples import job

NAME = job().name
LATER = AT + timedelta(minutes=5)
FAILED, TIMED_OUT = ("Failed", "BackoffLimitExceeded"), ("Failed", "DeadlineExceeded")
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
    vague = failure_of_pod(Pod(status=PodStatus(phase="Pending")))
    assert vague is not None
    cache.remember_failure(NAME, vague)
    assert cache.failure_of(NAME) == vague
    cache.remember_failure(NAME, IMAGE)
    cache.remember_failure(NAME, vague)
    assert cache.failure_of(NAME) == IMAGE


def test_a_job_waits_from_the_start_until_it_has_a_pod_or_fails_or_is_suspended_or_gone() -> None:
    cache = JobCache()
    waits, new = job(name="waits"), job(name="new", startTime=None)
    suspended = job(("Suspended", ""), name="suspended", startTime=None)
    unseen = Job.from_object(
        {
            "metadata": {"name": "unseen", "uid": "u", "resourceVersion": "5", "creationTimestamp": f"{AT:%FT%TZ}"},
            "spec": {"suspend": True, "template": {"spec": {"containers": [{"name": "a"}]}}},
        }
    )
    for found in (waits, new, suspended, unseen, job(name="at-work", active=1), job(TIMED_OUT, name="failed")):
        cache.remember(found)
    cache.remove(job(name="gone"), LATER)
    assert cache.waiting() == [waits, new]


def test_memory_is_bounded_and_keeps_what_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "MAX_JOBS", 3)
    cache = JobCache()
    for number in range(5):
        cache.remember(job(name=f"j{number}", active=1))
    cache.remember_failure("j4", IMAGE)
    cache.remember_failure("unknown", IMAGE)
    assert (len(cache), cache.get("j1"), cache.failure_of("unknown")) == (3, None, None)
    told = cache.replace_all([job(name="j4", active=1)], "9", LATER)
    states = {name: found.state for name in ("j2", "j3", "j4") if (found := cache.get(name))}
    assert states == {"j2": JobState.GONE, "j3": JobState.GONE, "j4": JobState.ACTIVE}
    assert {found.name: found.state for found in told} == states
    cache.forget(LATER + timedelta(seconds=1))
    assert len(cache) == 1
    assert cache.failure_of("j4") == IMAGE
    cache.remember(job(("Complete", ""), name="j4"))
    assert (len(cache), cache.failure_of("j4")) == (0, None)


def test_of_a_list_longer_than_the_memory_the_rest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "MAX_JOBS", 3)
    cache = JobCache()
    told = cache.replace_all([job(FAILED, name=f"j{number}", failed=1) for number in range(9)], "9", LATER)
    assert (len(told), len(cache), len(cache.take_failing())) == (9, 3, 3)


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


def test_a_job_begins_to_fail_once_and_only_with_a_pod_is_there_a_pod_to_read() -> None:
    cache = JobCache()
    cache.remember(job(TIMED_OUT, name="without-pod"))
    cache.remember(job(active=1))
    assert cache.take_failing() == []
    dooms = job(("FailureTarget", ""), terminating=1)
    cache.remember(dooms)
    assert cache.take_failing() == [dooms]
    cache.remember(job(FAILED, failed=1))
    assert cache.take_failing() == []
    another = job(FAILED, failed=1, uid="another")
    cache.remember(another)
    assert cache.take_failing() == [another]


def test_what_may_have_succeeded_is_forgotten_before_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_cache, "MAX_JOBS", 3)
    cache = JobCache()
    cache.remember(job(TIMED_OUT, name="failed"))
    for number in range(5):  # a success, where only the others are watched
        cache.remove(job(name=f"j{number}", active=1), LATER)
    cache.remember(job(name="active", active=1))
    assert [name for name in ("failed", "j3", "j4", "active") if cache.get(name)] == ["failed", "j4", "active"]
    cache.remember(job(name="j4", uid="another", active=1))
    cache.remember(job(name="last", active=1))
    assert [name for name in ("failed", "j4", "active", "last") if cache.get(name)] == ["j4", "active", "last"]


def test_a_job_that_does_not_exist_any_more_is_gone_unless_another_took_its_name() -> None:
    cache = JobCache()
    cache.mark_gone(NAME, "u", LATER)
    cache.remember(job(active=1, uid="another", version=2))
    cache.mark_gone(NAME, "u", LATER)
    assert [found.state for found in cache.by_region()["k"]] == [JobState.ACTIVE]
    cache.mark_gone(NAME, "another", LATER)
    [found] = cache.by_region()["k"]
    assert (found.state, found.ended) == (JobState.GONE, LATER)


def test_what_is_gone_stays_gone_since_the_same_moment_whoever_tells_of_its_past() -> None:
    cache = JobCache()
    gone = cache.remove(job(active=1, version=5), AT)
    assert gone is not None
    assert cache.remove(job(active=1, version=5), LATER) is None
    assert cache.replace_all([job(active=1, version=4)], "4", LATER) == []
    assert cache.replace_all([], "6", LATER) == []
    assert cache.replace_all([job(active=1, version=4)], "4", LATER) == [], "the list is older than the one before"
    assert cache.get(NAME) == gone


@dataclass
class Truth:
    """Jobs of two names as the API server has them, and what it told of them, by version."""

    jobs: dict[str, Job] = field(default_factory=dict)
    events: list[tuple[Job, bool]] = field(default_factory=list)
    lists: list[tuple[int, list[Job]]] = field(default_factory=list)

    def act(self, action: tuple[str, str]) -> None:
        name, does = action
        version, known = len(self.events) + 2, self.jobs.get(name)
        if does == "list":
            self.lists.append((version - 1, list(self.jobs.values())))
        elif does == "make" and known is None:
            self._tell(job(name=name, uid=str(version), version=version))
        elif does == "fail" and known is not None:
            self._tell(job(FAILED, failed=1, name=name, uid=known.uid, version=version))
        elif does == "go" and known is not None:
            del self.jobs[name]
            self.events.append((replace(known, resource_version=str(version)), True))

    def _tell(self, found: Job) -> None:
        self.jobs[found.name] = found
        self.events.append((found, False))


ACTIONS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["make", "fail", "go", "list"]))


@given(st.lists(ACTIONS, max_size=30), st.data())
def test_in_whatever_order_lists_come_among_the_events_the_end_is_the_truth(
    actions: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Events come in order. A list may come late, after events that are newer, or early, before older ones."""
    truth = Truth()
    for action in actions:
        truth.act(action)
    cache = JobCache()
    arrivals = sorted(
        (data.draw(st.integers(0, len(truth.events)), label="after event"), *each) for each in truth.lists
    )
    for number in range(len(truth.events) + 1):
        for _, version, listed in [arrival for arrival in arrivals if arrival[0] == number]:
            cache.replace_all(listed, str(version), LATER)
        if number < len(truth.events):
            found, deleted = truth.events[number]
            cache.remove(found, LATER) if deleted else cache.remember(found)
    for name in ("a", "b"):
        known, real = cache.get(name), truth.jobs.get(name)
        if real is not None:
            assert known == replace(real, had_pod=known.had_pod)  # type: ignore[union-attr]
        else:
            assert known is None or known.state is JobState.GONE
