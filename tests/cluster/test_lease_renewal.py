"""kube/leader_election.py on a real API server: candidates in this process, with clocks that the test sets."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import pytest

from region_operator.kube import leader_election as leader_module
from region_operator.kube.connect import connect
from region_operator.kube.leader_election import RENEW_DEADLINE_SECONDS, LeaderElection, boottime
from region_operator.kube.lease_record import LEASE_SECONDS, NAME, held
from region_operator.runtime.health import Health
from region_operator.scheduler import API_VERSION, DEFAULT_NAME, KIND
from tests.harness.clock import Clock
from tests.harness.leaders import holder, wait_for_renewal
from tests.harness.waiting import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.harness.kubectl import Kubectl


SCHEDULER = json.dumps(
    {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": DEFAULT_NAME}, "spec": {"source": {}}}
)


class Ended(BaseException):
    """Raised where a process would end."""


def end(reason: str) -> NoReturn:
    raise Ended(reason)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, kubectl: Kubectl) -> None:
    """Renewals follow each other at once; what is waited for is waited for on the test's own clocks."""
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    monkeypatch.setattr(leader_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(leader_module, "POLL_SECONDS", (0.05, 0.05))


@asynccontextmanager
async def candidate(kubectl: Kubectl, name: str, clock: Clock) -> AsyncIterator[LeaderElection]:
    async with connect(name) as api:
        yield LeaderElection(api, Health(), namespace=kubectl.namespace, identity=name, clock=clock, end=end)


async def lead(leader: LeaderElection, began: asyncio.Event) -> None:
    async with leader.leading():
        began.set()
        await asyncio.Event().wait()


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_is_renewed_is_never_taken_however_late_it_is_elsewhere(kubectl: Kubectl) -> None:
    here, there = Clock(1000.0), Clock(1000.0)
    async with candidate(kubectl, "a", here) as a, candidate(kubectl, "b", there) as b:
        async with a.leading():
            began = asyncio.Event()
            waiting = asyncio.ensure_future(lead(b, began))
            for _ in range(10):
                there.now += LEASE_SECONDS - 1  # b's clock runs hundreds of times as fast
                await asyncio.to_thread(wait_for_renewal, kubectl)
            assert not began.is_set()
            assert a.time_left() > 0
        await asyncio.wait_for(began.wait(), PATIENCE_SECONDS)  # released: at once
        waiting.cancel()
        await asyncio.wait([waiting])
    assert holder(kubectl) == ""


async def lead_until_the_end(
    kubectl: Kubectl, name: str, act: Callable[[], object], *, clock: Callable[[], float] = boottime
) -> None:
    """Lead, do something, and lead on until the process would end."""
    ended = asyncio.Event()

    def end(reason: str) -> NoReturn:
        ended.set()
        raise Ended(reason)

    async with connect(name) as api:
        leader = LeaderElection(api, Health(), namespace=kubectl.namespace, identity=name, clock=clock, end=end)
        async with leader.leading():
            act()
            await asyncio.wait_for(ended.wait(), PATIENCE_SECONDS)


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_was_taken_ends_its_former_leader(kubectl: Kubectl) -> None:
    taken = '--patch={"spec": {"holderIdentity": "b"}}'
    with pytest.raises(Ended, match="the Lease is b's"):
        await lead_until_the_end(kubectl, "a", lambda: kubectl("patch", "lease", NAME, "--type=merge", taken))
    assert holder(kubectl) == "b"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "act",
    [("delete", "lease", NAME), ("patch", "lease", NAME, "--type=merge", '--patch={"spec": {"holderIdentity": ""}}')],
    ids=["deleted", "emptied"],
)
async def test_a_lease_that_has_lost_its_holder_ends_its_leader(kubectl: Kubectl, act: tuple[str, ...]) -> None:
    with pytest.raises(Ended, match="the Lease is nobody's"):
        await lead_until_the_end(kubectl, "a", lambda: kubectl(*act))


@pytest.mark.usefixtures("quick")
async def test_a_lease_that_has_gone_where_somebody_led_is_made_anew_after_its_duration(
    kubectl: Kubectl, caplog: pytest.LogCaptureFixture
) -> None:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    kubectl("patch", "rsched", "default", "--subresource=status", "--type=merge", '--patch={"status": {"regions": {}}}')
    await assert_it_is_had_after_its_duration(kubectl, caplog)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "patch",
    [
        "{}",
        '{"spec": null}',
        '{"spec": {"holderIdentity": ""}}',
        '{"spec": {"renewTime": "2036-11-24T12:00:00.000000Z"}}',
        '{"spec": {"leaseDurationSeconds": 1}}',
        '{"spec": {"leaseDurationSeconds": 3600}}',
    ],
)
async def test_a_lease_that_somebody_edited_is_taken_after_its_duration(
    kubectl: Kubectl, caplog: pytest.LogCaptureFixture, patch: str
) -> None:
    lease = held(None, identity="a", now=datetime.now(UTC))
    kubectl("create", "-f", "-", stdin=json.dumps(lease))
    kubectl("patch", "lease", NAME, "--type=merge", f"--patch={patch}")
    await assert_it_is_had_after_its_duration(kubectl, caplog)


@pytest.mark.usefixtures("quick")
async def test_a_lease_of_a_namespace_where_nobody_led_yet_is_had_at_once(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=SCHEDULER)
    async with candidate(kubectl, "a", Clock(1000.0)) as a, asyncio.timeout(PATIENCE_SECONDS), a.leading():
        assert holder(kubectl) == "a"


async def assert_it_is_had_after_its_duration(kubectl: Kubectl, caplog: pytest.LogCaptureFixture) -> None:
    """And not a moment before."""
    caplog.set_level(logging.INFO)
    clock = Clock(1000.0)
    async with candidate(kubectl, "b", clock) as b:
        began = asyncio.Event()
        waiting = asyncio.ensure_future(lead(b, began))
        await asyncio.to_thread(eventually, lambda: "standby" in caplog.messages, what="it has looked")
        clock.now += LEASE_SECONDS - 0.1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(began.wait(), 10 * leader_module.POLL_SECONDS[0])
        clock.now += 0.1
        await asyncio.wait_for(began.wait(), PATIENCE_SECONDS)
        assert holder(kubectl) == "b"
        waiting.cancel()
        await asyncio.wait([waiting])


@pytest.mark.usefixtures("quick")
async def test_a_leader_whose_time_is_over_ends_though_nobody_asks_it_to_write(kubectl: Kubectl) -> None:
    clock = Clock(1000.0)

    def pass_time() -> None:
        clock.now += RENEW_DEADLINE_SECONDS

    with pytest.raises(Ended, match="not renewed for 10 s"):
        await lead_until_the_end(kubectl, "a", pass_time, clock=clock)


@pytest.mark.usefixtures("quick")
async def test_only_a_leader_has_time_left(kubectl: Kubectl) -> None:
    async with candidate(kubectl, "a", Clock(1000.0)) as a:
        with pytest.raises(Ended):
            a.time_left()
        async with a.leading():
            assert a.time_left() == RENEW_DEADLINE_SECONDS
        with pytest.raises(Ended):
            a.time_left()


@pytest.mark.usefixtures("quick")
async def test_what_people_write_on_the_lease_stays_and_disturbs_nobody(kubectl: Kubectl) -> None:
    async with candidate(kubectl, "a", Clock(1000.0)) as a, a.leading():
        for number in range(5):
            kubectl("label", "--overwrite", "lease", "region-operator", f"number={number}")
        await asyncio.to_thread(wait_for_renewal, kubectl)
        assert kubectl.get("lease", "region-operator")["metadata"]["labels"] == {"number": "4"}
        assert a.time_left() > 0
