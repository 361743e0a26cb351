"""kubectl_region/backfill.py on a real API server: what stands is found, and a cluster that is away is waited for.

No kubelet runs: the test ends the pods. What became of a tick, the test says in place of the console.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from kubectl_region import backfill
from kubectl_region.backfill import Backfill
from kubectl_region.backfill_plan import Rerun
from kubectl_region.errors import NotFoundError
from kubectl_region.kubectl import Kubectl as PluginsKubectl
from kubectl_region.kubectl import KubectlError
from kubectl_region.rerun_job import make_job
from tests.cluster.jobs import create_cronjob, end
from tests.harness.kubectl import kubectl_binary
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.kubectl import Kubectl

NAMES = ("a-0123456789ab", "b-ba9876543210")
TICK_AT = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
A, B = (Rerun(code=name[0], cronjob=name, tick_at=TICK_AT) for name in NAMES)
LATER = Rerun(code="a", cronjob=NAMES[0], tick_at=TICK_AT + timedelta(minutes=5))


class Told:
    """What a console would say of ticks: those of `succeeded` have succeeded."""

    def __init__(self) -> None:
        self.succeeded: set[str] = set()

    def get(self, *path: str, **_query: object) -> dict[str, Any]:
        if path[1] == "gone":
            raise NotFoundError("no such tick")
        state = "succeeded" if path[1] in self.succeeded else "missed"
        return {"state": state, "reason": None, "errorMessage": None}


class Shaky:
    """The plugin's kubectl, whose first calls find no API server."""

    def __init__(self, inner: PluginsKubectl, failures: int) -> None:
        self._inner, self._failures = inner, failures

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        self._fail()
        return self._inner(*arguments, stdin=stdin)

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        self._fail()
        return self._inner.json(*arguments, stdin=stdin)

    def _fail(self) -> None:
        if self._failures:
            self._failures -= 1
            raise KubectlError("Unable to connect to the server: dial tcp: connect: connection refused", 1)


@pytest.fixture
def cronjobs(kubectl: Kubectl) -> dict[str, dict[str, Any]]:
    for name in NAMES:
        create_cronjob(kubectl, name, failed_jobs_history_limit=1)
    bodies = {}
    for name in NAMES:
        body = kubectl.get("cronjob", name)
        variables = [{"name": "CRONJOB_NAME", "value": name}, {"name": "REGION_CODE", "value": name[0]}]
        body["spec"]["jobTemplate"]["spec"]["backoffLimit"] = 0
        body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"] = variables
        kubectl("replace", "-f", "-", stdin=json.dumps(body))
        bodies[name] = kubectl.get("cronjob", name)
    return bodies


@pytest.fixture
def plugins_kubectl(kubectl: Kubectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginsKubectl:
    (tmp_path / "kubectl").symlink_to(kubectl_binary())
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return PluginsKubectl((f"--kubeconfig={kubectl.kubeconfig}",), 60.0)


class Run:
    """A backfill in a thread."""

    def __init__(self, work: Backfill, plan: list[Rerun]) -> None:
        self.succeeded: bool | None = None
        self._thread = threading.Thread(target=self._run, args=(work, plan), daemon=True)
        self._thread.start()

    def _run(self, work: Backfill, plan: list[Rerun]) -> None:
        self.succeeded = work.run(plan)

    def over(self) -> bool:
        self._thread.join(timeout=0.2)
        return not self._thread.is_alive()


def names(kubectl: Kubectl) -> list[str]:
    return sorted(job["metadata"]["name"] for job in kubectl.get("jobs")["items"])


def test_what_stands_is_found_and_what_has_ended_is_done_under_another_name(
    kubectl: Kubectl,
    cronjobs: dict[str, dict[str, Any]],
    plugins_kubectl: PluginsKubectl,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An earlier backfill left a Job that ended without its tick, and one that is at work."""
    for rerun in (A, B):
        kubectl("create", "-f", "-", stdin=json.dumps(make_job(cronjobs[rerun.cronjob], rerun, by="me")))
    end(kubectl, A.job, "Failed", 75)
    second = replace(A, attempt=1)
    told = Told()
    work = Backfill(plugins_kubectl, told, kubectl.namespace, limit=1, concurrency=1, by="me")  # type: ignore[arg-type]
    assert work.adopt(["a"]) == 0
    assert work.adopt(["b"], LATER.tick_at) == 0, "another tick of its region"
    assert work.adopt(["a", "b"]) == 1
    run = Run(work, [A, LATER])
    assert not run.over()
    assert names(kubectl) == sorted([A.job, B.job]), "the other one takes the only place"
    told.succeeded.add("b")
    end(kubectl, B.job, "Succeeded", 0)
    eventually(lambda: second.job in names(kubectl), what="a new Job")
    assert LATER.job not in names(kubectl)
    end(kubectl, second.job, "Succeeded", 0)
    eventually(lambda: LATER.job in names(kubectl), what="the region's next tick")
    told.succeeded.add("a")
    end(kubectl, LATER.job, "Succeeded", 0)
    eventually(run.over, what="it is over")
    assert run.succeeded is False, "the Job of the first one completed, and its tick is missed all the same"
    lines = capsys.readouterr()
    assert lines.out.splitlines()[-1] == "3 of 3: 2 succeeded, 1 failed, 0 running, 0 left"
    assert f"a {TICK_AT:%Y-%m-%dT%H:%M:%SZ} did not succeed: missed" in lines.err


def test_a_rerun_begins_beside_the_reruns_of_others_below_the_cap(
    kubectl: Kubectl, cronjobs: dict[str, dict[str, Any]], plugins_kubectl: PluginsKubectl
) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps(make_job(cronjobs[B.cronjob], B, by="somebody else")))
    told = Told()
    told.succeeded.add("a")
    run = Run(Backfill(plugins_kubectl, told, kubectl.namespace, limit=1, concurrency=2, by="me"), [A])  # type: ignore[arg-type]
    eventually(lambda: A.job in names(kubectl), what="its Job")
    end(kubectl, A.job, "Succeeded", 0)
    eventually(run.over, what="it is over")
    assert run.succeeded is True


def test_each_job_is_made_from_the_cronjob_as_it_is_then(
    kubectl: Kubectl,
    cronjobs: dict[str, dict[str, Any]],
    plugins_kubectl: PluginsKubectl,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The template is edited while a backfill runs, and then the region stops."""
    assert cronjobs
    told = Told()
    told.succeeded.add("a")
    last = replace(LATER, tick_at=LATER.tick_at + timedelta(minutes=5))
    run = Run(
        Backfill(plugins_kubectl, told, kubectl.namespace, limit=1, concurrency=1, by="me"),  # type: ignore[arg-type]
        [A, LATER, last],
    )
    eventually(lambda: A.job in names(kubectl), what="the first Job")
    patch = {"spec": {"jobTemplate": {"metadata": {"annotations": {"edited": "meanwhile"}}}}}
    kubectl("patch", "cronjob", A.cronjob, "--type=merge", "--patch", json.dumps(patch))
    end(kubectl, A.job, "Succeeded", 0)
    eventually(lambda: LATER.job in names(kubectl), what="the second Job")
    assert kubectl.get("job", LATER.job)["metadata"]["annotations"]["edited"] == "meanwhile"
    kubectl("delete", "cronjob", A.cronjob)
    eventually(run.over, what="it is over")
    assert run.succeeded is False
    said = f"a {last.tick_at:%Y-%m-%dT%H:%M:%SZ} and 0 later ones are not run again: CronJob {A.cronjob} is gone"
    assert said in capsys.readouterr().err


def test_a_cluster_that_is_away_is_asked_again_and_a_refusal_is_not(
    kubectl: Kubectl,
    cronjobs: dict[str, dict[str, Any]],
    plugins_kubectl: PluginsKubectl,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(backfill, "LONGEST_PAUSE_SECONDS", 0.1)
    told = Told()
    told.succeeded.add("b")
    assert cronjobs
    shaky = Shaky(plugins_kubectl, 3)
    work = Backfill(shaky, told, kubectl.namespace, limit=4, concurrency=4, by="me")  # type: ignore[arg-type]
    assert work.adopt(["b"]) == 0
    run = Run(work, [B])
    eventually(lambda: B.job in names(kubectl), what="the Job")
    end(kubectl, B.job, "Succeeded", 0)
    eventually(run.over, what="it is over")
    assert run.succeeded is True
    assert capsys.readouterr().err.count("not now, trying again in") == 3
    gone = Rerun(code="b", cronjob="no-such-cronjob-0123456789ab", tick_at=TICK_AT)
    work = Backfill(plugins_kubectl, told, kubectl.namespace, limit=4, concurrency=4, by="me")  # type: ignore[arg-type]
    assert work.run([gone]) is False
    assert "0 later ones are not run again: CronJob no-such-cronjob-0123456789ab is gone" in capsys.readouterr().err
    never = Backfill(Shaky(plugins_kubectl, 99), told, kubectl.namespace, limit=4, concurrency=4, by="me")  # type: ignore[arg-type]
    with pytest.raises(KubectlError, match="Unable to connect"):
        never.run([A])
