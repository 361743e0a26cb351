"""kube/election_thread.py on a real API server: a main event loop that is held costs no Lease, unless for too long."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from region_operator.kube.election_thread import ElectionThread
from region_operator.kube.leader_election import NotLeadingError
from region_operator.kube.lease_record import LEASE_SECONDS, NAME
from region_operator.runtime.health import Health
from tests.harness.leaders import holder
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.kubectl import Kubectl

BLOCK_SECONDS = 12.0
"""Longer than a Lease that is not renewed lets this process write."""

BLOCKED = """
import asyncio
from region_operator.kube import leader_election
from region_operator.kube.election_thread import ElectionThread
from region_operator.runtime.health import Health
from region_tick import logs

logs.configure()
leader_election.SILENCE_LIMIT_SECONDS = 2.0

async def main():
    health = Health()
    asyncio.create_task(health.beat())
    async with ElectionThread(health, namespace={namespace!r}, identity="blocked").leading():
        while True:
            pass

asyncio.run(main())
"""


def hold_the_loop(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def test_a_lease_is_kept_while_the_main_loop_is_held(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    health = Health()
    beating = asyncio.create_task(health.beat())
    leader = ElectionThread(health, namespace=kubectl.namespace, identity="a")
    async with leader.leading():
        before = kubectl.get("lease", NAME)
        hold_the_loop(BLOCK_SECONDS)
        assert leader.time_left() > 0
        after = kubectl.get("lease", NAME)
        assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
        assert after["spec"]["leaseTransitions"] == before["spec"]["leaseTransitions"]
        assert holder(kubectl) == "a"
    assert holder(kubectl) == ""
    beating.cancel()


def test_a_main_loop_that_is_stuck_ends_its_process_and_another_leads(
    kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    program = BLOCKED.format(namespace=kubectl.namespace)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == os.EX_TEMPFAIL
    assert "the main event loop has not turned for" in done.stdout
    assert holder(kubectl) == "blocked"
    began = time.monotonic()
    assert asyncio.run(lead_once(kubectl, "next")) == "next"
    assert time.monotonic() - began > LEASE_SECONDS - 2, "the Lease was not given back: requests may still be under way"


async def lead_once(kubectl: Kubectl, identity: str, health: Health | None = None) -> str:
    async with ElectionThread(health or Health(), namespace=kubectl.namespace, identity=identity).leading():
        return holder(kubectl)


async def test_who_is_not_patient_is_told_who_leads(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    async with ElectionThread(Health(), namespace=kubectl.namespace, identity="a").leading():
        second = ElectionThread(Health(), namespace=kubectl.namespace, identity="b")
        with pytest.raises(NotLeadingError, match="a leads"):
            async with second.leading(patient=False):
                raise AssertionError("never led")
    assert holder(kubectl) == ""


async def test_who_waits_for_the_lease_can_be_told_to_stop(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    async with ElectionThread(Health(), namespace=kubectl.namespace, identity="a").leading():
        health = Health()
        waiting = asyncio.create_task(lead_once(kubectl, "b", health))
        await asyncio.to_thread(eventually, lambda: b"standby" in health.answer("/readyz")[2], what="it stands by")
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=60)
        assert waiting.cancelled()
    assert holder(kubectl) == ""
