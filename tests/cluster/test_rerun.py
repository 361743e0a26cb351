"""The Job of a rerun on a real API server with its real controllers: nobody takes the Job for the tick's own."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from kubectl_region.backfill_plan import Rerun
from kubectl_region.rerun_job import make_job, read_job
from region_operator.kube.connect import connect
from region_operator.kube.nudge import Nudger
from region_operator.ledger.finalize import Finalizer
from region_operator.ledger.job_cleanup import JobCleanup
from region_operator.ledger.job_watch import JobWatch
from region_operator.ledger.region_schedule_queries import save_versions
from region_operator.ledger.schedule_versions import ScheduleSpec, ScheduleVersion
from region_tick.contract import TICK_AT_LABEL, job_name
from tests.cluster.jobs import create_cronjob
from tests.harness.examples import scheduler
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from tests.harness.kubectl import Kubectl

SOURCE, CRONJOB, KEY = "public.region_index", "a-0123456789ab", "0123456789ab"
LABELS = {"app": "region-tick", "region-tick.dev/region": KEY}
NOTHING = timedelta()
TICK_AT = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
RERUN = Rerun(code="a", cronjob=CRONJOB, tick_at=TICK_AT)


@pytest.fixture(autouse=True)
def _cluster(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))


@pytest.fixture
def cronjob(kubectl: Kubectl) -> dict[str, Any]:
    """A suspended CronJob whose Jobs are those of ticks."""
    create_cronjob(kubectl, CRONJOB, failed_jobs_history_limit=1)
    template = {"metadata": {"labels": LABELS}, "spec": {"template": {"metadata": {"labels": LABELS}}}}
    patch = {"spec": {"jobTemplate": template}}
    kubectl("patch", "cronjob", CRONJOB, "--type=merge", "--patch", json.dumps(patch))
    found: dict[str, Any] = kubectl.get("cronjob", CRONJOB)
    return found


def begin(kubectl: Kubectl, cronjob: dict[str, Any], name: str = RERUN.job, **pod: Any) -> str:
    """Make the Job of a rerun as the plugin does; return its name when its controller has seen it."""
    job = make_job(cronjob, RERUN, by="alice")
    job["metadata"]["name"] = name
    job["spec"]["template"]["spec"] |= pod
    kubectl("create", "-f", "-", stdin=json.dumps(job))
    eventually(lambda: "startTime" in kubectl.get("job", name)["status"], what="its controller has seen it")
    return name


async def execute(engine: AsyncEngine, statement: str, **values: Any) -> list[Any]:
    async with engine.begin() as connection:
        result = await connection.execute(text(statement), values)
        return list(result) if result.returns_rows else []


def test_a_job_tells_its_tick_and_whether_it_is_at_work(kubectl: Kubectl, cronjob: dict[str, Any]) -> None:
    name = begin(kubectl, cronjob)
    found = kubectl.get("jobs", "--selector", TICK_AT_LABEL)["items"]
    assert [job["metadata"]["name"] for job in found] == [name]
    seen = read_job(found[0])
    assert (seen.tick_at, seen.active, seen.why) == (TICK_AT, True, "")
    pod = eventually(lambda: kubectl.get("pods", "--selector", TICK_AT_LABEL)["items"], what="its pod")[0]
    assert pod["metadata"]["annotations"] == {"region-tick.dev/rerun-by": "alice"}
    environment = {item["name"]: item["value"] for item in pod["spec"]["containers"][0]["env"]}
    assert environment == {"TICK_RERUN_OF": f"{TICK_AT:%Y-%m-%dT%H:%M}:00Z", "TICK_RERUN_BY": "alice"}


def test_the_cronjobs_controller_does_not_count_the_job_and_the_job_goes_with_its_cronjob(
    kubectl: Kubectl, cronjob: dict[str, Any]
) -> None:
    """A Job that the CronJob controls, as kubectl create job --from makes it, is told of in an Event."""
    name = begin(kubectl, cronjob)
    controlled = make_job(cronjob, Rerun(code="a", cronjob=CRONJOB, tick_at=TICK_AT, attempt=1), by="alice")
    controlled["metadata"]["ownerReferences"][0]["controller"] = True
    kubectl("create", "-f", "-", stdin=json.dumps(controlled))

    def unexpected() -> str:
        return kubectl("get", "events", "--field-selector", "reason=UnexpectedJob", "--output", "jsonpath={..message}")

    eventually(lambda: controlled["metadata"]["name"] in unexpected(), what="the controller tells of the other one")
    assert name not in unexpected()
    assert "active" not in kubectl.get("cronjob", CRONJOB)["status"]
    kubectl("delete", "cronjob", CRONJOB)
    eventually(lambda: not kubectl.get("jobs")["items"], what="both are gone")


async def test_an_open_row_is_left_alone_while_the_job_lives_and_closed_when_it_is_gone(
    kubectl: Kubectl, cronjob: dict[str, Any], engine: AsyncEngine
) -> None:
    spec = ScheduleSpec(cron="0 0 1 1 *", code="a", cronjob=CRONJOB, start_deadline_seconds=20)
    row = ScheduleVersion(source=SOURCE, region_id="1", spec=spec, valid_from=TICK_AT - timedelta(days=1))
    await save_versions(engine, {row.key: row}, installation=scheduler().installation)
    name = begin(kubectl, cronjob)
    await execute(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, job_name, state, attempt,"
        " lease_until, started_at, rerun_uid) VALUES (:source, '1', :at, 'a', '', :job, 'running', 2,"
        " now() - interval '2 hours', now() - interval '3 hours', 'uid')",
        source=SOURCE, at=TICK_AT, job=name,
    )  # fmt: skip

    async def state() -> tuple[Any, ...]:
        async with connect("test") as api:
            watch = JobWatch(api)
            of = scheduler().model_copy(update={"namespace": kubectl.namespace})
            cleanup = JobCleanup(api, watch)
            finalizer = Finalizer(engine, of, job_watch=watch, job_cleanup=cleanup, retention=timedelta(days=30))
            await finalizer.finalize(NOTHING)
        [found] = await execute(engine, "SELECT state, reason, attempt, rerun_uid FROM region_tick.job_run")
        return tuple(found)

    assert await state() == ("running", None, 2, "uid")
    kubectl("delete", "job", name)
    assert await state() == ("failed", "lost", 2, "uid")


async def test_a_job_that_waits_for_a_slot_although_its_tick_is_final_stays_and_is_nudged(
    kubectl: Kubectl, cronjob: dict[str, Any], engine: AsyncEngine
) -> None:
    spec = ScheduleSpec(cron="0 0 1 1 *", code="a", cronjob=CRONJOB, start_deadline_seconds=20)
    row = ScheduleVersion(source=SOURCE, region_id="1", spec=spec, valid_from=TICK_AT - timedelta(days=1))
    await save_versions(engine, {row.key: row}, installation=scheduler().installation)
    await execute(
        engine,
        "INSERT INTO region_tick.job_run (source, region_id, tick_at, region_code, cron, state, finished_at)"
        " VALUES (:source, '1', :at, 'a', '', 'missed', now())",
        source=SOURCE, at=TICK_AT,
    )  # fmt: skip
    name = begin(kubectl, cronjob, priorityClassName="no-such-class")
    by_hand = begin(kubectl, cronjob, job_name(CRONJOB, TICK_AT), priorityClassName="no-such-class")
    async with connect("test") as api:
        watch, nudger = JobWatch(api), Nudger()
        watch.on_job = nudger.observe_job
        of = scheduler().model_copy(update={"namespace": kubectl.namespace})
        cleanup = JobCleanup(api, watch)
        await Finalizer(engine, of, job_watch=watch, job_cleanup=cleanup, retention=timedelta(days=30)).finalize(
            NOTHING
        )
        assert {job.name: job.rerun for job in watch.jobs.waiting()} == {name: True, by_hand: True}
        assert "deletionTimestamp" not in kubectl.get("job", by_hand)["metadata"]
        quota = {"metadata": {"name": "region-tick"}, "status": {"hard": {"pods": "1"}, "used": {"pods": "0"}}}
        nudger.observe_quota(quota, deleted=False)
        nudging = asyncio.ensure_future(nudger.run(api, kubectl.namespace))
        try:
            await asyncio.to_thread(
                eventually,
                lambda: "region-tick.dev/nudged" in kubectl.get("job", name)["metadata"].get("annotations", {}),
                what="it is nudged",
            )
        finally:
            nudging.cancel()
