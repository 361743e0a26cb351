"""kube/leader_election.py: two and three operators on a real control plane. The audit log tells who wrote what."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from region_operator.kube.lease_record import LEASE_SECONDS
from tests.harness.audit import audit_lines, sent_by
from tests.harness.leaders import (
    TAKE_OVER_SECONDS,
    assert_they_wrote_in_turn,
    holder,
    identity,
    leads,
    wait_for_renewal,
    wait_until_it_leads,
)
from tests.harness.long import rounds
from tests.harness.proxy import Proxy
from tests.harness.regions import ONCE_A_YEAR
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.operator_process import OperatorProcess
    from tests.harness.regions import AddRegions


LEFT_BEFORE_THE_FREEZE = 1
"""How many requests may have been given leave, but not yet be the kernel's, when a process is frozen: nothing is
awaited between the two, so its one thread can be stopped amid one. What is the kernel's arrives while it is frozen.
Without the fence it is a dozen and more."""

REGIONS, KILLS = 400, rounds(3, long=10)


@contextmanager
def leader_and_standby(
    run_operator: RunOperator, **leaders_environment: str
) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    with run_operator(**leaders_environment) as leader:
        wait_until_it_leads(leader)
        with run_operator() as standby:
            eventually(lambda: standby.logged("standby"), what="a standby")
            yield leader, standby


def test_of_three_one_leads_and_the_others_could(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions
) -> None:
    add_regions(20)
    with run_operator() as a, run_operator() as b, run_operator() as c:
        leader = eventually(lambda: next(filter(leads, (a, b, c)), None), what="a leader")
        eventually(lambda: leader.get("/readyz")[1].startswith("ok\n"), what="the leader is ready")
        standbys = [operator for operator in (a, b, c) if operator is not leader]
        eventually(lambda: all(one.get("/readyz") == (200, "standby\n") for one in standbys), what="standbys are ready")
        assert len(kubectl.cronjobs()) == 20
        assert holder(kubectl) == identity(leader)
        assert not any(map(leads, standbys))
        for standby in standbys:
            assert standby.stop() == 0
            assert {line["event"] for line in standby.lines} == {"starting", "standby", "stopped"}
        assert holder(kubectl) == identity(leader)
    lines = [line for line in audit_lines(control_plane, kubectl.namespace) if sent_by(line)]
    others = [line for line in lines if not sent_by(line, identity(leader))]
    assert len(lines) - len(others) >= 20
    # who came too late to make the Lease
    assert {(line["objectRef"]["resource"], line["responseStatus"]["code"]) for line in others} <= {("leases", 409)}


def test_a_killed_leader_is_followed_when_its_lease_is_over(
    run_operator: RunOperator, kubectl: Kubectl, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(20)
    with leader_and_standby(run_operator) as (leader, standby):
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        before = {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()}
        leader.signal(signal.SIGKILL)
        leader.wait()
        sql("UPDATE region_index SET cron_schedule = '@hourly' WHERE code = 'R7'")
        wait_until_it_leads(standby, seconds=TAKE_OVER_SECONDS)
        assert holder(kubectl) == identity(standby)
        eventually(lambda: kubectl.cronjobs()["R7"]["spec"]["schedule"] == "@hourly", what="the edit is found")
        assert {code: item["metadata"]["uid"] for code, item in kubectl.cronjobs().items()} == before


@pytest.mark.long
@pytest.mark.timeout(120 + 60 * KILLS)
def test_leaders_that_are_killed_again_and_again_follow_each_other(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(REGIONS)
    with ExitStack() as running:
        replicas = [running.enter_context(run_operator()) for _ in range(3)]
        led = []
        for time in range(KILLS):
            leader = eventually(
                lambda: next(filter(leads, replicas), None), what=f"leader {time}", seconds=TAKE_OVER_SECONDS
            )
            sql("UPDATE region_index SET cron_schedule = %s", at_minute(time))
            wait_until_it_writes(leader)
            leader.signal(signal.SIGKILL)
            leader.wait()
            led.append(leader)
            replicas.remove(leader)
            replicas.append(running.enter_context(run_operator()))
        assert min(map(changes, led)) < REGIONS, "one at least was killed amid its writes"
        last = eventually(lambda: next(filter(leads, replicas), None), what="the last one", seconds=TAKE_OVER_SECONDS)
        eventually(lambda: kubectl.ready().get("status") == "True" and last.reconciles, what="it did all", seconds=60)
        schedules = [item["spec"]["schedule"] for item in kubectl.cronjobs().values()]
        assert schedules == [at_minute(KILLS - 1)] * REGIONS
        assert holder(kubectl) == identity(last)
    written = assert_they_wrote_in_turn(control_plane, kubectl, [*led, last])
    assert [line for line in written if line["verb"] == "delete"] == []


def at_minute(minute: int) -> str:
    """Return a schedule that ticks as seldom as the regions' own, so that no guard minds the change."""
    return ONCE_A_YEAR.replace("0", str(minute), 1)


def wait_until_it_writes(operator: OperatorProcess) -> None:
    eventually(lambda: changes(operator) > 10, what="it writes")


def changes(operator: OperatorProcess) -> int:
    """How many CronJobs it has changed, as it says."""
    return sum("region.code" in line for line in operator.lines)


def test_a_leader_that_is_told_to_stop_hands_over_without_a_wait(run_operator: RunOperator, kubectl: Kubectl) -> None:
    with leader_and_standby(run_operator) as (leader, standby):
        eventually(lambda: kubectl.ready().get("status") == "True", what="nothing is under way")
        assert leader.stop() == 0
        assert [line["event"] for line in leader.lines][-1] == "stopped"
        wait_until_it_leads(standby, seconds=LEASE_SECONDS / 2)
        assert kubectl.get("lease", "region-operator")["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_before_it_leads_it_ends(
    run_operator: RunOperator, kubectl: Kubectl, number: signal.Signals
) -> None:
    with leader_and_standby(run_operator) as (leader, standby):
        standby.signal(number)
        assert standby.wait() == 0
        assert leads(leader)
        assert holder(kubectl) == identity(leader)


def test_a_leader_that_was_frozen_amid_its_writes_ends_without_another(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    with leader_and_standby(run_operator) as (leader, standby):
        eventually(lambda: leader.logged("listening"), what="the leader listens")
        kubectl(
            "patch", "rsched", "default", "--type=merge", '--patch={"spec": {"deletionGuard": {"maxPercent": 100}}}'
        )
        add_regions(1000)
        eventually(lambda: len(leader.logged("added")) > 100, what="it writes")
        leader.signal(signal.SIGSTOP)
        assert len(leader.logged("added")) < 900
        sql("DELETE FROM region_index WHERE right(code, 1) <> '7'")
        wait_until_it_leads(standby, seconds=TAKE_OVER_SECONDS)
        eventually(lambda: standby.reconciles, what="the other does what the table says", seconds=120)
        eventually(lambda: len(kubectl.cronjobs()) == 100, what="the deletions are through")
        mark = control_plane.audit_log.stat().st_size
        leader.signal(signal.SIGCONT)
        assert leader.wait() == os.EX_TEMPFAIL
        said = [line["event"] for line in leader.lines if line["level"] != "info"]
        assert said[-1] == "leadership lost"
        assert set(said[:-1]) <= {"lease not renewed"}  # it may have been frozen amid a renewal
        assert leads(standby)
        late = [
            line
            for line in audit_lines(control_plane, kubectl.namespace, since=mark)
            if sent_by(line, identity(leader)) and line["objectRef"]["resource"] != "leases"
        ]
        assert len(late) <= LEFT_BEFORE_THE_FREEZE
        assert [line for line in late if line["verb"] == "delete"] == []
        sql("UPDATE region_index SET name = name")  # one of them may have made what the table no longer has
        eventually(lambda: len(kubectl.cronjobs()) == 100, what="what the table says stands")
    assert_they_wrote_in_turn(control_plane, kubectl, [leader, standby], late=late)


def test_a_leader_that_is_cut_off_ends_before_another_leads(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, add_regions: AddRegions, tmp_path: Path
) -> None:
    through = tmp_path / "kubeconfig"
    with (
        Proxy.before(kubectl.kubeconfig, through) as proxy,
        leader_and_standby(run_operator, KUBECONFIG=str(through)) as (leader, standby),
    ):
        eventually(lambda: leader.logged("listening"), what="the leader listens")
        proxy.cut()
        add_regions(20)
        assert leader.wait() == os.EX_TEMPFAIL
        [lost] = leader.logged("leadership lost")
        assert "not renewed" in lost["reason"]
        wait_until_it_leads(standby, seconds=TAKE_OVER_SECONDS)
        assert lost["ts"] < standby.logged("leading")[0]["ts"]
        eventually(lambda: len(kubectl.cronjobs()) == 20, what="20 CronJobs")
    assert_they_wrote_in_turn(control_plane, kubectl, [leader, standby])


def test_a_lease_that_is_deleted_lets_nobody_begin_beside_its_leader(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, add_regions: AddRegions
) -> None:
    add_regions(20)
    with run_operator() as leader:
        eventually(lambda: kubectl.ready().get("status") == "True", what="20 CronJobs")
        wait_for_renewal(kubectl)  # so that it does not look for some seconds
        kubectl("delete", "lease", "region-operator")
        with run_operator() as newcomer:
            [standby] = eventually(lambda: newcomer.logged("standby"), what="the newcomer has looked")
            assert "nobody leads" in standby["reason"]
            sql("UPDATE region_index SET cron_schedule = '@hourly'")
            assert leader.wait() == os.EX_TEMPFAIL
            [lost] = leader.logged("leadership lost")
            assert lost["reason"] == "the Lease is nobody's"
            wait_until_it_leads(newcomer, seconds=TAKE_OVER_SECONDS)
            eventually(lambda: newcomer.reconciles, what="it did all")
    assert_they_wrote_in_turn(control_plane, kubectl, [leader, newcomer])


def test_who_could_not_take_over_is_no_standby(run_operator: RunOperator, kubectl: Kubectl, tmp_path: Path) -> None:
    through = tmp_path / "kubeconfig"
    with Proxy.before(kubectl.kubeconfig, through) as proxy:
        proxy.cut()
        with run_operator(KUBECONFIG=str(through)) as operator:
            eventually(lambda: operator.logged("no standby"), what="it says so")
            code, text = operator.get("/readyz")
            assert (code, text) == (503, "the Lease cannot be had: the API server does not answer\n")
            assert operator.get("/healthz")[0] == 200
            proxy.mend()
            wait_until_it_leads(operator)
