"""One leader: two and three operators on a real control plane, whose own audit log says who wrote what."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from region_operator import leader as leader_module
from region_operator.api import connect
from region_operator.health import Health
from region_operator.leader import POLL_SECONDS, RENEW_DEADLINE_SECONDS, Leader, boottime
from region_operator.lease import LEASE_SECONDS
from tests.cluster.audit import audit_lines, sent_by
from tests.cluster.proxy import Proxy
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.cluster.conftest import RunOperator
    from tests.cluster.kubectl import Kubectl
    from tests.cluster.operator_process import OperatorProcess

INSERT = (
    "INSERT INTO region_index (code, name, cron_schedule)"
    " SELECT 'R' || n, 'Region ' || n, '*/5 * * * *' FROM generate_series(1, %s) n"
)

LEFT_BEFORE_THE_FREEZE = 1
"""How many requests may have been given leave, but not yet be the kernel's, when a process is frozen: nothing is awaited
between the two, so a thread can be stopped amid one. (What is the kernel's arrives, frozen or not.) Without the fence
it is a dozen and more."""

TAKE_OVER_SECONDS = LEASE_SECONDS + 2 * max(POLL_SECONDS) + 3
"""The Lease's duration, a poll until its last renewal is seen, another until its end is, and a busy machine."""


@contextmanager
def leader_and_standby(
    run_operator: RunOperator, **leaders_environment: str
) -> Iterator[tuple[OperatorProcess, OperatorProcess]]:
    with run_operator(**leaders_environment) as leader:
        wait_until_it_leads(leader)
        with run_operator() as standby:
            eventually(lambda: standby.logged("standby"), what="a standby")
            yield leader, standby


def leads(operator: OperatorProcess) -> bool:
    return operator.metric("region_operator_leader") == 1


def wait_until_it_leads(operator: OperatorProcess, *, seconds: float = 30) -> None:
    eventually(lambda: leads(operator), what="it leads", seconds=seconds)


def identity(operator: OperatorProcess) -> str:
    return str(operator.logged("starting")[0]["identity"])


def holder(kubectl: Kubectl) -> str:
    return str(kubectl.get("lease", "region-operator")["spec"].get("holderIdentity", ""))


def assert_one_wrote_and_then_the_other(
    cluster: LocalCluster,
    kubectl: Kubectl,
    first: OperatorProcess,
    second: OperatorProcess,
    *,
    late: Sequence[dict[str, Any]] = (),
) -> None:
    """The second's first write, which takes the Lease, comes after the first's last, but for those known to be late."""
    written = audit_lines(cluster, kubectl.namespace)
    lines = [line for line in written if sent_by(line) and line not in late]
    turns = [sent_by(line, identity(second)) for line in lines]
    assert turns == sorted(turns)
    assert set(turns) == {False, True}
    assert all(sent_by(line, identity(first)) or sent_by(line, identity(second)) for line in lines)


def test_of_three_one_leads_and_the_others_could(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    sql(INSERT, 20)
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
    run_operator: RunOperator, kubectl: Kubectl, sql: Any
) -> None:
    sql(INSERT, 20)
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
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any
) -> None:
    with leader_and_standby(run_operator) as (leader, standby):
        eventually(lambda: leader.logged("listening"), what="the leader listens")
        kubectl(
            "patch", "rsched", "default", "--type=merge", '--patch={"spec": {"deletionGuard": {"maxPercent": 100}}}'
        )
        sql(INSERT, 1000)
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
        assert [line["event"] for line in leader.lines if line["level"] != "info"] == ["leadership lost"]
        assert leads(standby)
        late = [
            line
            for line in audit_lines(control_plane, kubectl.namespace, since=mark)
            if sent_by(line, identity(leader))
        ]
        assert len(late) <= LEFT_BEFORE_THE_FREEZE
        assert [line for line in late if line["verb"] == "delete"] == []
        sql("UPDATE region_index SET name = name")  # one of them may have made what the table no longer has
        eventually(lambda: len(kubectl.cronjobs()) == 100, what="what the table says stands")
    assert_one_wrote_and_then_the_other(control_plane, kubectl, leader, standby, late=late)


def test_a_leader_that_is_cut_off_ends_before_another_leads(
    run_operator: RunOperator, kubectl: Kubectl, control_plane: LocalCluster, sql: Any, tmp_path: Path
) -> None:
    through = tmp_path / "kubeconfig"
    with (
        Proxy.before(kubectl.kubeconfig, through) as proxy,
        leader_and_standby(run_operator, KUBECONFIG=str(through)) as (leader, standby),
    ):
        eventually(lambda: leader.logged("listening"), what="the leader listens")
        proxy.cut()
        sql(INSERT, 20)
        assert leader.wait() == os.EX_TEMPFAIL
        assert not leads(standby)
        [lost] = leader.logged("leadership lost")
        assert "not renewed" in lost["reason"]
        wait_until_it_leads(standby, seconds=TAKE_OVER_SECONDS)
        eventually(lambda: len(kubectl.cronjobs()) == 20, what="20 CronJobs")
    assert_one_wrote_and_then_the_other(control_plane, kubectl, leader, standby)


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


class Ended(BaseException):
    """Raised where a process would end."""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def end(reason: str) -> NoReturn:
    raise Ended(reason)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl) -> None:
    """Renewals follow each other at once; what is waited for is waited for on the test's own clocks."""
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    monkeypatch.setattr(leader_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(leader_module, "POLL_SECONDS", (0.05, 0.05))


@asynccontextmanager
async def candidate(kubectl: Kubectl, name: str, clock: Clock) -> AsyncIterator[Leader]:
    async with connect(name) as api:
        yield Leader(api, Health(), namespace=kubectl.namespace, identity=name, clock=clock, end=end)


async def lead(leader: Leader, began: asyncio.Event) -> None:
    async with leader.leading():
        began.set()
        await asyncio.Event().wait()


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_is_renewed_is_never_taken_however_late_it_is_elsewhere(kubectl: Kubectl) -> None:
    here, there = Clock(), Clock()
    async with candidate(kubectl, "a", here) as a, candidate(kubectl, "b", there) as b:
        async with a.leading():
            began = asyncio.Event()
            waiting = asyncio.ensure_future(lead(b, began))
            for _ in range(10):
                there.now += LEASE_SECONDS - 1  # b's clock runs hundreds of times as fast
                await asyncio.to_thread(wait_for_renewal, kubectl)
            assert not began.is_set()
            assert a.time_left() > 0
        await asyncio.wait_for(began.wait(), 10)  # released: at once
        waiting.cancel()
        await asyncio.wait([waiting])
    assert holder(kubectl) == ""


def wait_for_renewal(kubectl: Kubectl) -> None:
    version = kubectl.get("lease", "region-operator")["metadata"]["resourceVersion"]
    eventually(
        lambda: kubectl.get("lease", "region-operator")["metadata"]["resourceVersion"] != version, what="a renewal"
    )


async def lead_until_the_end(
    kubectl: Kubectl, name: str, act: Callable[[], object], *, clock: Callable[[], float] = boottime
) -> None:
    """Lead, do something, and lead on until the process would end."""
    ended = asyncio.Event()

    def end(reason: str) -> NoReturn:
        ended.set()
        raise Ended(reason)

    async with connect(name) as api:
        leader = Leader(api, Health(), namespace=kubectl.namespace, identity=name, clock=clock, end=end)
        async with leader.leading():
            act()
            await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_was_taken_ends_its_former_leader(kubectl: Kubectl) -> None:
    taken = '--patch={"spec": {"holderIdentity": "b"}}'
    with pytest.raises(Ended, match="the Lease is b's"):
        await lead_until_the_end(
            kubectl, "a", lambda: kubectl("patch", "lease", "region-operator", "--type=merge", taken)
        )
    assert holder(kubectl) == "b"


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_was_deleted_ends_its_leader_and_is_made_anew_by_the_next(kubectl: Kubectl) -> None:
    with pytest.raises(Ended, match="the Lease is nobody's"):
        await lead_until_the_end(kubectl, "a", lambda: kubectl("delete", "lease", "region-operator"))
    async with candidate(kubectl, "b", Clock()) as b, b.leading():
        assert holder(kubectl) == "b"


@pytest.mark.usefixtures("quick")
async def test_a_leader_whose_time_is_over_ends_though_nobody_asks_it_to_write(kubectl: Kubectl) -> None:
    clock = Clock()

    def pass_time() -> None:
        clock.now += RENEW_DEADLINE_SECONDS

    with pytest.raises(Ended, match="not renewed for 10 s"):
        await lead_until_the_end(kubectl, "a", pass_time, clock=clock)


@pytest.mark.usefixtures("quick")
async def test_only_a_leader_has_time_left(kubectl: Kubectl) -> None:
    async with candidate(kubectl, "a", Clock()) as a:
        with pytest.raises(Ended):
            a.time_left()
        async with a.leading():
            assert a.time_left() == RENEW_DEADLINE_SECONDS
        with pytest.raises(Ended):
            a.time_left()


@pytest.mark.usefixtures("quick")
async def test_what_people_write_on_the_lease_stays_and_disturbs_nobody(kubectl: Kubectl) -> None:
    async with candidate(kubectl, "a", Clock()) as a, a.leading():
        for number in range(5):
            kubectl("label", "--overwrite", "lease", "region-operator", f"number={number}")
        await asyncio.to_thread(wait_for_renewal, kubectl)
        assert kubectl.get("lease", "region-operator")["metadata"]["labels"] == {"number": "4"}
        assert a.time_left() > 0
