"""kube/bootstrap.py on a real API server: which fields of a RegionScheduler the knobs may set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.kube.api import Api
from region_operator.kube.bootstrap import bootstrap
from region_operator.kube.connect import connect
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl

KNOBS = {"refreshInterval": "90s", "concurrency": 9}


def manifest(**spec: Any) -> str:
    scheduler = {"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}
    return json.dumps(scheduler | {"spec": spec})


async def start(kubectl: Kubectl, caplog: pytest.LogCaptureFixture, knobs: dict[str, Any] = KNOBS) -> list[str]:
    """Do what an operator that starts does; return the knobs that it says are overruled."""
    caplog.clear()
    async with connect("a test") as api:
        await bootstrap(api, kubectl.namespace, knobs)
    lines = [vars(record) for record in caplog.records if record.message == "knobs overruled"]
    assert len(lines) <= 1
    return lines[0]["fields"] if lines else []


def spec(kubectl: Kubectl) -> tuple[str, int]:
    found = kubectl.scheduler()["spec"]
    return found["refreshInterval"], found["concurrency"]


@pytest.fixture(autouse=True)
def at_this_cluster(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))


def test_knobs_make_the_scheduler_and_never_take_a_users_field(run_operator: RunOperator, kubectl: Kubectl) -> None:
    with run_operator(CONCURRENCY="7", REGION_REFRESH_INTERVAL_MS="60000") as operator:
        eventually(lambda: kubectl.ready().get("status") == "True", what="a scheduler from the knobs")
        assert kubectl.scheduler()["spec"]["concurrency"] == 7
        assert kubectl.scheduler()["spec"]["refreshInterval"] == "1m"
        kubectl("patch", "rsched", "default", "--type", "merge", "--patch", '{"spec": {"concurrency": 2}}')
        eventually(
            lambda: kubectl.get("resourcequota", "region-tick")["spec"]["hard"] == {"pods": "2"},
            what="an edited scheduler acts at once",
        )
        assert operator.stop() == 0
    with run_operator(CONCURRENCY="9", REGION_REFRESH_INTERVAL_MS="90000") as operator:
        [line] = eventually(lambda: operator.logged("knobs overruled"), what="the overruled knob is reported")
        assert line["fields"] == ["concurrency"]
        eventually(lambda: kubectl.scheduler()["spec"]["refreshInterval"] == "90s", what="the other knob")
        assert kubectl.scheduler()["spec"]["concurrency"] == 2


MAKE = [("apply",), ("apply", "--server-side"), ("create", "--save-config")]
"""How a person makes one. To the API server a field that it defaulted is the maker's, but where he applies at it."""


@pytest.mark.parametrize("make", MAKE, ids=" ".join)
async def test_a_default_that_nobody_wrote_is_nobodys(
    make: tuple[str, ...], kubectl: Kubectl, caplog: pytest.LogCaptureFixture
) -> None:
    kubectl(*make, "-f", "-", stdin=manifest(concurrency=4))
    for _ in range(2):
        assert await start(kubectl, caplog) == ["concurrency"]
        assert spec(kubectl) == ("90s", 4)
    again = ("apply", "--server-side", "--force-conflicts") if "--server-side" in make else ("apply",)
    kubectl(*again, "-f", "-", stdin=manifest(concurrency=4))
    assert spec(kubectl) == ("90s", 4)
    kubectl(*again, "-f", "-", stdin=manifest(concurrency=4, refreshInterval="2m"))
    assert await start(kubectl, caplog) == ["concurrency", "refreshInterval"]
    assert spec(kubectl) == ("2m", 4)


@pytest.mark.parametrize("make", MAKE, ids=" ".join)
async def test_a_default_that_somebody_wrote_is_his(
    make: tuple[str, ...], kubectl: Kubectl, caplog: pytest.LogCaptureFixture
) -> None:
    kubectl(*make, "-f", "-", stdin=manifest(refreshInterval="5m"))
    assert await start(kubectl, caplog) == ["refreshInterval"]
    assert spec(kubectl) == ("5m", 9)


def test_what_the_knobs_gave_is_given_back_when_git_takes_over(run_operator: RunOperator, kubectl: Kubectl) -> None:
    with run_operator(CONCURRENCY="7", REGION_REFRESH_INTERVAL_MS="90000"):
        eventually(lambda: kubectl.ready().get("status") == "True", what="a scheduler from the knobs")
    assert spec(kubectl) == ("90s", 7)
    with run_operator(BOOTSTRAP="false", CONCURRENCY="8") as operator:
        [line] = eventually(lambda: operator.logged("knobs given back"), what="what is no knob any more")
        assert line["fields"] == ["refreshInterval"]
        assert spec(kubectl) == ("5m", 7), "what is still a knob stays as it is"
        eventually(lambda: operator.reconciles, what="it is followed")
        version = kubectl.scheduler()["metadata"]["generation"]
    with run_operator(BOOTSTRAP="false", CONCURRENCY="8") as operator:
        eventually(lambda: operator.reconciles, what="the next process follows it")
        assert not operator.logged("knobs given back")
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"concurrency": 3}}')
    with run_operator(BOOTSTRAP="false") as operator:
        eventually(lambda: operator.reconciles, what="the next process follows it")
        assert spec(kubectl) == ("5m", 3), "a person's field is a person's"
    assert kubectl.scheduler()["metadata"]["generation"] == version + 1


async def test_what_somebody_patched_is_his(kubectl: Kubectl, caplog: pytest.LogCaptureFixture) -> None:
    kubectl("apply", "-f", "-", stdin=manifest())
    kubectl("patch", "rsched", "default", "--type=merge", '--patch={"spec": {"refreshInterval": "2m"}}')
    assert await start(kubectl, caplog) == ["refreshInterval"]
    assert spec(kubectl) == ("2m", 9)


async def test_where_nobody_can_tell_nothing_is_taken_and_the_remedy_says_so(
    kubectl: Kubectl, caplog: pytest.LogCaptureFixture
) -> None:
    """What was created without a record of what was written may have been written."""
    kubectl("create", "-f", "-", stdin=manifest())
    assert await start(kubectl, caplog) == ["concurrency", "refreshInterval"]
    assert spec(kubectl) == ("5m", 4)
    [line] = [vars(record) for record in caplog.records if record.message == "knobs overruled"]
    assert "kubectl apply" in line["remedy"]


async def test_what_somebody_writes_after_the_look_is_his_too(
    kubectl: Kubectl, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl("apply", "-f", "-", stdin=manifest())
    get, edits = Api.get, iter(['{"spec": {"refreshInterval": "2m"}}'])

    async def get_and_lose(api: Api, path: str) -> object:
        found = await get(api, path)
        for edit in edits:
            kubectl("patch", "rsched", "default", "--type=merge", f"--patch={edit}")
        return found

    monkeypatch.setattr(Api, "get", get_and_lose)
    assert await start(kubectl, caplog) == ["refreshInterval"]
    assert spec(kubectl) == ("2m", 9)
