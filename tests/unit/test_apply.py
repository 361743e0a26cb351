"""kube/apply.py and kube/put.py if a reconcile is cut off, or if others are faster.

What an apply does to a real cluster: tests/cluster.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio import client

from region_operator.cronjobs.cache import News
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.wire import encode
from region_operator.kube.api import Api
from region_operator.kube.apply import GIVE_UP_AFTER, Applied, ApplyError, HandOverError, PlanApplier
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.kube.put import ATTEMPTS
from region_operator.plan.changes import ChangeReason, Delete, Desired, Plan, Write
from region_operator.regions.schedule import parse_schedule
from tests.harness.examples import PARIS, live_cronjob

if TYPE_CHECKING:
    from region_operator.regions.region import RegionRow

DELETED_AT = datetime(2026, 11, 24, 10, 0, 59, tzinfo=UTC)

LEFT: dict[str, Any] = {
    "metadata": {
        "name": "n0",
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
        "managedFields": [
            {"manager": "person", "operation": "Update", "fieldsV1": {"f:spec": {"f:timeZone": {}}}},
        ],
    },
    "spec": {"schedule": "@daily", "timeZone": "Europe/Paris"},
}
"""What an apply leaves of a CronJob to which a person has added something."""


class Hanging(Api):
    """An API server that takes requests and does not answer."""

    def __init__(self) -> None:
        super().__init__(client.ApiClient(client.Configuration()))
        self.begun = asyncio.Event()

    async def apply(self, path: str, body: dict[str, Any], *, manager: str, force: bool = True) -> bytes:  # noqa: ARG002
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("never reached")


class Refusing(Api):
    """An API server that answers each apply with the next status; without further ones, with the last."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(client.ApiClient(client.Configuration()))
        self.statuses = list(statuses)
        self.asked = 0

    async def apply(self, path: str, body: dict[str, Any], *, manager: str, force: bool = True) -> bytes:  # noqa: ARG002
        self.asked += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status != 200:
            raise client.ApiException(status=status, reason="no")
        return encode(LEFT)

    async def patch(self, path: str, operations: list[dict[str, Any]], *, manager: str) -> bytes:  # noqa: ARG002
        return encode(LEFT)

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        raise client.ApiException(status=self.statuses[-1], reason=f"no {method} {path}")


class Overtaken(Refusing):
    """An API server where somebody else changes the object between an apply and the patch after it, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(200)
        self.times = times

    async def patch(self, path: str, operations: list[dict[str, Any]], *, manager: str) -> bytes:  # noqa: ARG002
        self.times -= 1
        if self.times >= 0:
            raise client.ApiException(status=422, reason="the test of its resourceVersion fails")
        return encode(LEFT)


class Taking(Refusing):
    """An API server that takes every request."""

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:  # noqa: ARG002
        return {}


async def apply_plan(api: Api, plan: Plan, *, watch: CronJobWatch | None = None) -> Applied:
    applier = PlanApplier(api, watch or CronJobWatch(api), plan, namespace="namespace", render=render)
    return await applier.run()


def render(_desired: Desired, name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def writes(count: int) -> Plan:
    desired = Desired(PARIS, parse_schedule(PARIS.cron_schedule))
    return Plan(writes=tuple(Write(ChangeReason.ADDED, desired, f"n{n}") for n in range(count)))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_has_no_time_for_anything_is_not_asked_for_everything(status: int) -> None:
    api = Refusing(status)
    applied = await apply_plan(api, writes(1000))
    assert "32 of 1000 changes failed and 968 were not tried" in str(applied.error)
    assert api.asked <= 2 * GIVE_UP_AFTER


@pytest.mark.parametrize("statuses", [(403,), (422,), (500, 200, 500)])
async def test_one_change_that_fails_keeps_no_other_from_being_tried(statuses: tuple[int, ...]) -> None:
    api = Refusing(*statuses * 33)
    applied = await apply_plan(api, writes(100))
    assert isinstance(applied.error, ApplyError)
    assert api.asked == 100


@pytest.mark.parametrize(
    ("statuses", "tried"), [((200,), 1), ((409, 409, 200), 3), ((409,) * 5, 5)], ids=["done", "raced", "all raced"]
)
async def test_one_write_is_tried_and_the_others_follow(statuses: tuple[int, ...], tried: int) -> None:
    api = Refusing(*statuses, *(200,) * 10)
    applier = PlanApplier(api, CronJobWatch(api), writes(5), namespace="namespace", render=render)
    assert await applier.try_one() is (200 in statuses)
    assert api.asked == applier.tried == tried
    applied = await applier.run()
    assert (applied.error, applier.tried, applied.stale) == (None, 5, statuses.count(409))


async def test_a_write_that_fails_is_the_only_one() -> None:
    api = Refusing(422)
    applier = PlanApplier(api, CronJobWatch(api), writes(5), namespace="namespace", render=render)
    with pytest.raises(ApplyError, match="1 of 5 changes failed and 4 were not tried"):
        await applier.try_one()
    assert api.asked == 1


async def test_after_a_write_that_failed_others_may_be_tried() -> None:
    api = Refusing(422, 409, 200, 200)
    applier = PlanApplier(api, CronJobWatch(api), writes(4), namespace="namespace", render=render)
    with pytest.raises(ApplyError):
        await applier.try_one()
    assert await applier.try_one(), "the one in between was changed meanwhile"
    applied = await applier.run()
    assert (api.asked, applied.stale) == (4, 1)
    assert "1 of 4 changes failed, the first" in str(applied.error)


async def test_one_that_was_changed_meanwhile_is_the_next_reconciles_and_no_failure() -> None:
    api = Refusing(409)
    applied = await apply_plan(api, writes(1))
    assert (applied.stale, applied.error, api.asked) == (1, None, 1)


@pytest.mark.parametrize(("lost", "ends"), [(ATTEMPTS - 1, True), (ATTEMPTS, False)])
async def test_what_others_add_is_removed_also_where_they_are_faster_a_few_times(lost: int, ends: bool) -> None:
    api = Overtaken(lost)
    applied = await apply_plan(api, writes(1))
    assert (applied.error is None) is ends
    assert api.asked == ATTEMPTS


async def test_no_write_outlives_the_reconcile_that_asked_for_it() -> None:
    api, before = Hanging(), asyncio.all_tasks()
    applying = asyncio.create_task(apply_plan(api, writes(100)))
    await asyncio.wait_for(api.begun.wait(), 10)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert asyncio.all_tasks() == before


async def test_a_write_is_known_to_the_cache_as_it_happens() -> None:
    api = Refusing(200)
    watch = CronJobWatch(api)
    applied = await apply_plan(api, writes(1), watch=watch)
    assert watch.cache.cronjobs == [LiveCronJob.decode(encode(LEFT))]
    assert (applied.stale, applied.error) == (0, None)


async def test_only_a_deletion_that_is_tried_is_expected() -> None:
    live = LiveCronJob.from_object(LEFT | {"metadata": LEFT["metadata"] | {"name": "n0-0123456789ab"}})
    watch = CronJobWatch(Refusing(503))
    watch.cache.fold(live)
    applied = await apply_plan(Refusing(503), Plan(deletes=(Delete(live),) * 1000), watch=watch)
    assert "968 were not tried" in str(applied.error)
    assert watch.cache.remove(live.name, live.uid) is News.DELETED, "a refused deletion is no deletion of ours"


async def test_a_deletion_that_was_answered_is_going_until_it_is_gone() -> None:
    live = LiveCronJob.from_object(LEFT | {"metadata": LEFT["metadata"] | {"name": "n0-0123456789ab"}})
    watch = CronJobWatch(Refusing(200))
    watch.cache.fold(live)
    applied = await apply_plan(Taking(200), Plan(deletes=(Delete(live),)), watch=watch)
    assert applied.error is None
    assert [known.terminating for known in watch.cache.cronjobs] == [True]
    assert watch.cache.remove(live.name, live.uid) is News.NOTHING


class Recording(Refusing):
    """An API server that takes applies and deletions, or refuses deletions with a status, if one is given."""

    def __init__(self, *, refusal: int = 0) -> None:
        super().__init__(200)
        self.refusal = refusal
        self.steps: list[str] = []

    async def apply(self, path: str, body: dict[str, Any], *, manager: str, force: bool = True) -> bytes:
        self.steps.append(f"apply {path.rpartition('/')[2]}")
        return await super().apply(path, body, manager=manager, force=force)

    async def delete(self, path: str, **_: Any) -> datetime:
        if self.refusal:
            raise client.ApiException(status=self.refusal, reason="no")
        self.steps.append(f"delete {path.rpartition('/')[2]}")
        return DELETED_AT


async def replace_one(api: Recording, *, fails: bool = False) -> Applied:
    """Replace a CronJob by that of its successor."""

    async def hand_over(live: LiveCronJob, successor: RegionRow) -> None:
        if fails:
            raise HandOverError("the creators are not handed over")
        api.steps.append(f"hand over {live.name} to {successor.code}")

    successor = writes(1).writes[0]
    plan = Plan(deletes=(Delete(live_cronjob("old"), ChangeReason.REPLACED, successor=successor),))
    applier = PlanApplier(api, CronJobWatch(api), plan, namespace="n", render=render, hand_over=hand_over)
    return await applier.run()


async def test_a_successor_begins_when_the_old_one_is_gone_and_all_is_handed_over() -> None:
    api = Recording()
    assert (await replace_one(api)).error is None
    assert api.steps[:3] == ["delete old", f"hand over old to {PARIS.code}", "apply n0"]


async def test_a_successor_that_was_given_nothing_waits_for_the_next_reconcile() -> None:
    api = Recording()
    applied = await replace_one(api, fails=True)
    assert api.steps == ["delete old"]
    assert "the creators are not handed over" in str(applied.error)


async def test_where_nothing_is_handed_over_no_more_are_replaced_and_all_else_is_tried() -> None:
    """The API server has time. But a region whose CronJob is deleted stands still until it is handed over."""

    async def hand_over(live: LiveCronJob, successor: RegionRow) -> None:
        raise HandOverError(f"{live.name} is not handed over to {successor.code}")

    successors = writes(3 * GIVE_UP_AFTER).writes
    replaced = [
        Delete(live_cronjob(f"old{n}"), ChangeReason.REPLACED, successor=new) for n, new in enumerate(successors)
    ]
    gone = [Delete(live_cronjob(f"gone{n}")) for n in range(GIVE_UP_AFTER)]
    api, plan = Recording(), Plan(deletes=(*replaced, *gone))
    applier = PlanApplier(api, CronJobWatch(api), plan, namespace="n", render=render, hand_over=hand_over)
    error = str((await applier.run()).error)
    assert {step for step in api.steps if "gone" in step} == {f"delete {item.live.name}" for item in gone}
    failed = sum("old" in step for step in api.steps)
    assert 0 < failed <= GIVE_UP_AFTER
    assert f"{failed} of {len(plan)} changes failed and {len(replaced) - failed} were not tried" in error


async def test_where_no_successor_can_be_made_no_more_cronjobs_are_replaced() -> None:
    """A policy that refuses new CronJobs must not let the old ones go."""
    successors = writes(3 * GIVE_UP_AFTER).writes
    replaced = [
        Delete(live_cronjob(f"old{n}"), ChangeReason.REPLACED, successor=new) for n, new in enumerate(successors)
    ]
    api = Recording()
    api.statuses = [403]
    assert isinstance((await apply_plan(api, Plan(deletes=tuple(replaced)))).error, ApplyError)
    assert 0 < sum("delete" in step for step in api.steps) <= GIVE_UP_AFTER


async def test_a_cronjob_that_may_not_be_deleted_keeps_no_other_from_being_replaced() -> None:
    class Keeping(Recording):
        async def delete(self, path: str, **_: Any) -> datetime:
            if path.endswith("/old0"):
                raise client.ApiException(status=403, reason="no")
            return await super().delete(path)

    successors = writes(3 * GIVE_UP_AFTER).writes
    replaced = [
        Delete(live_cronjob(f"old{n}"), ChangeReason.REPLACED, successor=new) for n, new in enumerate(successors)
    ]
    api = Keeping()
    assert "1 of 96 changes failed, the first" in str((await apply_plan(api, Plan(deletes=tuple(replaced)))).error)
    assert sum("delete" in step for step in api.steps) == len(replaced) - 1


async def test_a_trial_never_goes_on_to_the_deletions() -> None:
    api = Recording()
    api.statuses = [422]
    plan = Plan(writes=writes(1).writes, deletes=(Delete(live_cronjob("gone")),))
    applier = PlanApplier(api, CronJobWatch(api), plan, namespace="n", render=render)
    with pytest.raises(ApplyError):
        await applier.try_one()
    assert not await applier.try_one()
    assert api.steps == ["apply n0"]
    await applier.run()
    assert api.steps == ["apply n0", "delete gone"]


@pytest.mark.parametrize(("refusal", "told"), [(0, [("gone", DELETED_AT)]), (409, []), (403, [])])
async def test_a_deletion_without_a_successor_is_told_with_its_time(
    refusal: int, told: list[tuple[str, datetime]]
) -> None:
    """With a successor it is the successor's beginning that counts: the minute in between is lost, and not nobody's."""
    api, heard = Recording(refusal=refusal), list[tuple[str, datetime]]()
    replaced = Delete(live_cronjob("old"), ChangeReason.REPLACED, successor=writes(1).writes[0])
    plan = Plan(deletes=(Delete(live_cronjob("gone")), replaced))
    applier = PlanApplier(api, CronJobWatch(api), plan, namespace="n", render=render)
    applier.on_deleted = lambda name, at: heard.append((name, at))
    await applier.run()
    assert heard == told


@pytest.mark.parametrize(("refusal", "stale"), [(409, 1), (403, 0)])
async def test_while_the_old_one_stands_its_successor_does_not_begin(refusal: int, stale: int) -> None:
    api = Recording(refusal=refusal)
    assert (await replace_one(api)).stale == stale
    assert api.steps == []
