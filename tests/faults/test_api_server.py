"""Whatever happens to the API server: regions tick on, somebody can see what is wrong, and nobody has to help."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import start_local
from region_operator.kube.cronjob_watch import cronjobs_path
from tests.faults.api_causes import API_FAULTS, ApiFault
from tests.faults.ground import Ground
from tests.faults.kept import Kept
from tests.harness.audit import audit_lines, sent_by
from tests.harness.cluster import install
from tests.harness.operator_process import OperatorProcess
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _pytest.mark.structures import ParameterSet

    from devcluster.local import LocalCluster
    from tests.faults.site import Site

MEMORY_GROWTH = 1.25
PLANES = 3
GONE_SECONDS = 150
"""How long a deleted CronJob may stay: the garbage collector has to let go of it first, which asks an API server that
it lost again after 60 s at most (client-go/tools/cache/reflector.go).
"""
REFUSED_LIMIT = 100
"""How many writes the API server may have to refuse while a fault lasts."""


def on_a_plane(number: int, fault: ApiFault) -> ParameterSet:
    """Let a few planes suffice for all tests that run beside each other."""
    return pytest.param(fault, marks=pytest.mark.xdist_group(f"plane-{number % PLANES}"))


@pytest.fixture(scope="module")
def mortal_plane() -> Iterator[LocalCluster]:
    """A control plane that comes to harm. Each fault ends with its test."""
    with start_local(f"tests-mortal-{os.getpid()}", node=False) as cluster:
        install(cluster)
        yield cluster


@pytest.fixture
def ground(mortal_plane: LocalCluster, tmp_path: Path) -> Iterator[Ground]:
    with Ground.on(mortal_plane, tmp_path) as ground:
        yield ground


@pytest.mark.parametrize("fault", [on_a_plane(number, fault) for number, fault in enumerate(API_FAULTS)], ids=str)
def test_a_fault_of_the_api_server_is_outlived(fault: ApiFault, site: Site, ground: Ground, tmp_path: Path) -> None:
    kubectl = ground.kubectl
    with Kept.running(starter(site, ground, tmp_path)) as kept:
        settle(kept, ground)
        before, memory = kubectl.cronjobs(), kept.now.memory
        assert len(before) == 20
        mark = ground.cluster.audit_log.stat().st_size

        with fault.cause(ground):
            site.sql(
                "UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R1';"
                "DELETE FROM region_index WHERE code = 'R20'"
            )
            site.add_regions(["R21"], cron="@daily")
            expect_the_truth(fault, kept, ground)
            assert kept.now.get("/healthz") == (200, "ok\n")

        wanted = {f"R{number}": "*/5 * * * *" for number in range(2, 20)} | {"R1": "@hourly", "R21": "@daily"}
        eventually(lambda: schedules(kubectl.cronjobs()) == wanted, what="it converges", seconds=GONE_SECONDS)
        eventually(lambda: kubectl.ready()["status"] == "True", what="the status is well again")
        eventually(lambda: kept.readiness()[0] == 200, what="it is ready again")
        go_on(kept.now)
        after = kubectl.cronjobs()
        assert {code: uid(after[code]) for code in after if code != "R21"} == {
            code: uid(before[code]) for code in before if code != "R20"
        }
        assert set(kept.codes) == ({os.EX_TEMPFAIL} if fault.ends else set())
        assert kept.now.memory < MEMORY_GROWTH * memory
        said = {
            line["event"]
            for process in kept.processes
            for line in process.lines
            if line["level"] in ("error", "critical")
        }
        assert said == fault.errors
        assert kept.now.stop() == 0

    lines = [line for line in audit_lines(ground.cluster, ground.namespace, since=mark) if sent_by(line)]
    assert_nothing_but_what_was_asked_for(lines, before, after, meddled=fault.name == "meddled")
    assert_patient(lines, fault)


@pytest.mark.alone  # it has the 10 s of a Lease to lose the API server and have it back
def test_a_watch_whose_place_is_gone_begins_anew(site: Site, ground: Ground, tmp_path: Path) -> None:
    """Only the watch can notice: the next refresh is minutes away, and nothing happens in the table."""
    kubectl = ground.kubectl
    with Kept.running(starter(site, ground, tmp_path, refresh_interval_ms=300_000)) as kept:
        eventually(lambda: kubectl.ready().get("status") == "True", what="a first reconcile", seconds=60)
        reconciles = eventually(lambda: kept.now.reconciles, what="it comes to its end")
        before = json.loads(ground.ask("GET", cronjobs_path(ground.namespace)))
        renewed = ground.renewed()
        eventually(lambda: ground.renewed() > renewed, what="the Lease is renewed, so that there are 10 s")
        with ground.cut_off():
            victim, other = (item["metadata"]["name"] for item in before["items"][:2])
            kubectl("patch", "cronjob", victim, "--patch", '{"spec": {"suspend": true}}')
            kubectl("delete", "cronjob", other)
            ground.compact_etcd()
            ground.cluster.kill_api_server()  # its watch cache would know more than etcd
            ground.cluster.start_api_server()
            assert ground.watch_error(since=before["metadata"]["resourceVersion"]) == 410
        eventually(lambda: not kubectl.get("cronjob", victim)["spec"].get("suspend"), what="the edit is undone")
        eventually(lambda: len(kubectl.cronjobs()) == 20, what="the deleted one is back")
        assert kept.codes == [], "it kept its Lease: one that begins anew needs no watch"
        eventually(lambda: kept.now.reconciles > reconciles, what="the reconcile that did both comes to its end")
        assert [line["cronjob"] for line in kept.now.logged("deleted by another")] == [other]


def starter(
    site: Site, ground: Ground, folder: Path, *, refresh_interval_ms: int = 1000
) -> Callable[[], OperatorProcess]:
    environment = {
        "KUBECONFIG": str(ground.kubeconfig),
        "POD_NAMESPACE": ground.namespace,
        "DATABASE_URL_FILE": str(site.url_file),
        "REGION_REFRESH_INTERVAL_MS": str(refresh_interval_ms),
    }
    return lambda: OperatorProcess(folder / f"operator-{len(list(folder.iterdir()))}.log", environment)


def settle(kept: Kept, ground: Ground) -> None:
    """Wait until all is done and the memory that an operator needs has been taken."""
    eventually(lambda: ground.kubectl.ready().get("status") == "True", what="a first reconcile", seconds=60)
    eventually(lambda: kept.now.logged("listening"), what="it listens")
    go_on(kept.now)


def go_on(operator: OperatorProcess) -> None:
    """Wait for reconciles."""
    so_far = operator.reconciles
    eventually(lambda: operator.reconciles >= so_far + 3, what="reconciles go on", seconds=60)


def expect_the_truth(fault: ApiFault, kept: Kept, ground: Ground) -> None:
    """Wait until readiness, and status where it can be written, tell of the fault, or that there is nothing to tell."""
    if not fault.words:
        go_on(kept.now)
        eventually(lambda: kept.readiness()[0] == 200, what="it is ready")
        return
    if fault.ends:
        eventually(lambda: kept.codes, what="it ends, as it may no longer lead")
    eventually(lambda: tells(fault, kept.readiness()), what=f"/readyz says {fault.words}")
    if fault.reason:
        ready = ground.kubectl.ready()
        assert (ready["status"], ready["reason"]) == ("False", fault.reason)
        for word in fault.words:
            assert word in ready["message"]


def tells(fault: ApiFault, readiness: tuple[int, str]) -> bool:
    code, text = readiness
    return code == 503 and all(word in text for word in fault.words)


def schedules(cronjobs: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {code: item["spec"]["schedule"] for code, item in cronjobs.items()}


def uid(item: dict[str, Any]) -> str:
    return str(item["metadata"]["uid"])


def assert_nothing_but_what_was_asked_for(
    lines: list[dict[str, Any]], before: dict[str, Any], after: dict[str, Any], *, meddled: bool
) -> None:
    """Of CronJobs, R20's was deleted, once, R1's and R21's were written, and others only where somebody had."""
    done = [line for line in lines if line["objectRef"]["resource"] == "cronjobs" and not is_refused(line)]
    deleted = [line["objectRef"]["name"] for line in done if line["verb"] == "delete"]
    assert deleted == [before["R20"]["metadata"]["name"]]
    written = {line["objectRef"]["name"] for line in done if line["verb"] != "delete"}
    wanted = {after[code]["metadata"]["name"] for code in ("R1", "R21")}
    assert written >= wanted if meddled else written == wanted


def assert_patient(lines: list[dict[str, Any]], fault: ApiFault) -> None:
    """What was refused was not asked for again at once, nor without end."""
    refused = [line for line in lines if is_refused(line)]
    assert len(refused) <= REFUSED_LIMIT
    moments = defaultdict(list)
    for line in refused:
        moments[line["verb"], line["requestURI"]].append(datetime.fromisoformat(line["requestReceivedTimestamp"]))
    pauses = [(later - earlier).total_seconds() for row in moments.values() for earlier, later in pairwise(sorted(row))]
    assert min(pauses, default=fault.pause) >= fault.pause


def is_refused(line: dict[str, Any]) -> bool:
    return bool(line["responseStatus"]["code"] >= 400)
