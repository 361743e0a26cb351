"""spec_trial.py: which answers are about the object, and a Role of an older release. The rest is in tests/cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio.client import ApiException

from region_operator.errors import ReconcileError
from region_operator.kube.api import Api, ApiUnavailableError
from region_operator.kube.apply import ApplyError
from region_operator.plan.changes import Plan
from region_operator.plan.conditions import ReadyReason
from region_operator.spec_trial import SpecTrial
from tests.harness.examples import scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from region_operator.scheduler import Scheduler


UID, GENERATION = scheduler().uid, scheduler().generation


class WithoutRight(Api):
    """An API server that lets nobody see or make ControllerRevisions. That they exist is news to an older Role."""

    def __init__(self) -> None:
        pass

    async def items(self, path: str) -> AsyncIterator[dict[str, Any]]:
        raise answer(403, f"cannot list {path}")
        yield {}

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        raise answer(403, f"cannot {method} {path}")


class Keeping(Api):
    """An API server that keeps one ControllerRevision with this data."""

    def __init__(self, data: Any) -> None:
        self.data = data

    async def items(self, path: str) -> AsyncIterator[dict[str, Any]]:
        meta = {"name": "region-tick-7", "uid": path, "resourceVersion": "1", "ownerReferences": [{"uid": UID}]}
        yield {"metadata": meta, "revision": 7, "data": self.data}


class Applier:
    """A PlanApplier whose writes have these outcomes, one after the other. None: the write succeeds."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.tried = 0

    async def try_one(self) -> bool:
        if not self.outcomes:
            return False
        self.tried += 1
        if outcome := self.outcomes.pop(0):
            raise ApplyError(failed=1, untried=1, of=2, first=outcome)
        return True


def answer(status: int, message: str) -> ApiException:
    error = ApiException(status=status, reason="Because")
    error.body = json.dumps({"message": message})
    return error


NOTHING = Plan()


async def prove(trial: SpecTrial, *outcomes: Exception | None, plan: Plan = NOTHING, **tick: Any) -> int:
    applier = Applier(*outcomes)
    await trial.prove(scheduler(tick=tick), plan, applier)  # type: ignore[arg-type]
    return applier.tried


DENIED = 'admission webhook "a.b.c" denied the request: no sidecars'
NOT_TYPED = "failed to create typed patch object (a/b; batch/v1, Kind=CronJob): .spec.x: field not declared in schema"
RIGHT = 'cronjobs.batch "a" is forbidden: User "u" cannot patch resource "cronjobs"'


@pytest.mark.parametrize(
    ("error", "of_the_spec"),
    [
        (answer(422, "Invalid value"), True),
        (answer(400, "no JSON"), True),
        (answer(413, "too large"), True),
        (answer(403, DENIED), True),
        (answer(500, NOT_TYPED), True),
        (answer(403, RIGHT), False),
        (answer(403, "exceeded quota: theirs, requested: count/cronjobs.batch=1"), False),
        (answer(422, "the server rejected our request due to an error in our request"), False),
        (answer(401, "who are you"), False),
        (answer(404, "no namespace"), False),
        (answer(429, "later"), False),
        (answer(500, "failed calling webhook"), False),
        (answer(503, "away"), False),
        (ApiUnavailableError("away"), False),
    ],
)
async def test_only_an_answer_about_the_object_is_the_specs_fault(error: Exception, of_the_spec: bool) -> None:
    trial = SpecTrial(WithoutRight())
    with pytest.raises(ReconcileError if of_the_spec else ApplyError) as raised:
        await prove(trial, error)
    assert bool(trial.refusal) is of_the_spec
    if isinstance(raised.value, ReconcileError):
        assert raised.value.reason is ReadyReason.INVALID_SPEC


BAD = answer(403, DENIED)


@pytest.mark.parametrize(("outcomes", "tried"), [([BAD, None], 2), ([BAD, BAD, None], 3)])
async def test_a_region_that_is_refused_alone_is_not_the_specs_fault(
    outcomes: list[Exception | None], tried: int
) -> None:
    """A policy may deny one region's schedule or name."""
    trial = SpecTrial(WithoutRight())
    assert await prove(trial, *outcomes) == tried
    assert trial.refusal == ""


@pytest.mark.parametrize("outcomes", [[BAD], [BAD, BAD], [BAD, BAD, BAD, None]])
async def test_a_spec_is_refused_if_each_of_the_first_few_regions_is(outcomes: list[Exception | None]) -> None:
    trial = SpecTrial(WithoutRight())
    with pytest.raises(ReconcileError, match="no sidecars"):
        await prove(trial, *outcomes)
    assert trial.refusal


async def test_a_field_that_does_not_exist_is_the_specs_fault_at_once() -> None:
    """The client repeats a request with the answer 500 for seconds."""
    trial = SpecTrial(WithoutRight())
    with pytest.raises(ReconcileError):
        await prove(trial, answer(500, NOT_TYPED), None)
    assert trial.refusal


async def test_another_failure_after_a_refusal_says_nothing_of_the_spec() -> None:
    trial = SpecTrial(WithoutRight())
    with pytest.raises(ApplyError):
        await prove(trial, BAD, answer(503, "away"))
    assert trial.refusal == ""


async def test_a_spec_that_standing_cronjobs_have_is_good_without_a_trial() -> None:
    """The ControllerRevisions are gone, and one row is refused."""
    trial = SpecTrial(WithoutRight())
    assert await prove(trial, BAD, BAD, BAD, plan=Plan(unchanged=9)) == 0
    assert trial.refusal == ""


async def test_an_older_role_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    trial = SpecTrial(WithoutRight())
    assert [await prove(trial, None), await prove(trial, None)] == [1, 0]
    assert {record.message for record in caplog.records} == {"last good spec.tick unknown"}
    with pytest.raises(ReconcileError):
        await prove(trial, answer(422, "bad"), handler="b")
    refused, again = scheduler(tick={"handler": "b"}), scheduler(tick={"handler": "c"})
    with pytest.raises(ReconcileError, match="bad; the last good one is lost, no ControllerRevision is there"):
        await trial.choose(refused, again=False)
    assert await trial.choose(again, again=False) is again
    assert await trial.choose(refused, again=True) is refused


def refused(*, reason: str = "InvalidSpec", observed: int = GENERATION) -> Scheduler:
    """Return a RegionScheduler of which the operator said this."""
    ready = {"type": "Ready", "reason": reason, "message": "422: no such volume", "observedGeneration": observed}
    return scheduler(tick={"handler": "bad"}, status={"conditions": [ready]})


async def test_a_look_follows_what_the_operator_said_and_tries_nothing() -> None:
    trial = SpecTrial(Keeping({"tick": {"handler": "good"}}))
    for own in (refused(reason="InSync"), refused(observed=0), scheduler()):
        assert await trial.look(own) == (own, "")
    followed, why = await trial.look(refused())
    assert (followed.spec.tick.handler, followed.tick_as_written) == ("good", {"handler": "good"})
    assert why == (
        "spec.tick is refused (422: no such volume): this plan is with the last good one, of ControllerRevision"
        " region-tick-7"
    )


@pytest.mark.parametrize("api", [Keeping({"tick": {"timeout": "never"}}), Keeping(None), WithoutRight()])
async def test_a_look_without_the_last_good_one_says_that_nothing_is_done(api: Api) -> None:
    own, why = await SpecTrial(api).look(refused())
    assert own.spec.tick.handler == "bad"
    assert "the last good one is not known: nothing of this plan is done" in why
