"""apply.py where a reconcile is cut off; what it does to a cluster, the tests on one show."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kubernetes.aio import client

from region_operator.api import Api
from region_operator.apply import apply_plan
from region_operator.plan import Desired, Plan, Reason, Write
from region_operator.schedule import parse_schedule
from region_operator.seen import Seen
from tests.unit.examples import PARIS


class Hanging(Api):
    """An API server that takes requests and does not answer."""

    def __init__(self) -> None:
        super().__init__(client.ApiClient(client.Configuration()))
        self.begun = asyncio.Event()

    async def apply(self, path: str, body: dict[str, Any], *, manager: str, force: bool = True) -> dict[str, Any]:  # noqa: ARG002
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("never reached")


async def test_no_write_outlives_the_reconcile_that_asked_for_it() -> None:
    desired = Desired(PARIS, parse_schedule(PARIS.cron_schedule))
    writes = tuple(Write(Reason.ADDED, desired, {"metadata": {"name": f"n{number}"}}) for number in range(100))
    api, before = Hanging(), asyncio.all_tasks()
    applying = asyncio.create_task(apply_plan(api, Plan(writes=writes), "namespace", Seen()))
    await asyncio.wait_for(api.begun.wait(), 10)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert asyncio.all_tasks() == before
