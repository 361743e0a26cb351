"""wiring.py: what kopf's events and kopf's end of a timer mean for the reconcile loop, and what kopf may log.

A reconcile that hangs in spite of every timeout cannot be caused for real, so the reconciler is a stand-in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tomllib
from datetime import timedelta
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kopf import Body, OperatorSettings
from kopf._core.actions.loggers import LocalObjectLogger

from region_operator import wiring
from region_operator.kube.nudge import Nudger
from region_operator.reconcile import RECONCILE_LIMIT_SECONDS
from region_operator.runtime.backoff import LAST_RETRY_SECONDS
from region_operator.runtime.health import PATIENCE_SECONDS
from region_operator.runtime.reconcile_timer import SHORTEST_GATHERING_SECONDS
from region_tick.logs import JsonFormatter
from tests.harness.clock import Clock
from tests.harness.operator_process import CHECKOUT
from tests.unit.standins import fail, hanging, live_after, make_loop, succeed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from region_operator.reconcile import ReconcileResult


RAW: Any = {"metadata": {"generation": 1}}
META = Body(RAW).meta


class Stopped(asyncio.Event):
    """As kopf's, which is also true or false."""

    def __bool__(self) -> bool:
        return self.is_set()


def memo(clock: Clock, act: Callable[[], Awaitable[ReconcileResult | None]]) -> wiring.Memo:
    return wiring.Memo(make_loop(clock, act), Nudger())


async def reconcile(memo: wiring.Memo) -> None:
    await wiring._reconcile(namespace="n", name="default", uid="u", memo=memo, stopped=Stopped())


def test_the_timer_has_no_finalizer() -> None:
    [timer] = wiring.make_registry()._spawning._handlers
    assert (timer.id, timer.requires_finalizer) == ("reconcile", False)


OTHER_WAYS: list[Any] = [
    SimpleNamespace(),
    SimpleNamespace(_spawning=SimpleNamespace(_handlers=())),
    SimpleNamespace(_spawning=SimpleNamespace(_handlers={"reconcile": None})),
    SimpleNamespace(_spawning=SimpleNamespace(_handlers=[])),
    SimpleNamespace(_spawning=SimpleNamespace(_handlers=[SimpleNamespace(requires_finalizer=True)])),
    SimpleNamespace(_spawning=SimpleNamespace(_handlers=[wiring.Memo(None, None)])),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("registry", OTHER_WAYS)
def test_a_kopf_that_keeps_its_timers_in_another_way_is_refused_by_its_release(registry: Any) -> None:
    with pytest.raises(wiring.UnknownKopfError, match=rf"^kopf {re.escape(version('kopf'))} keeps .*/operator\.lock$"):
        wiring._take_off_finalizer(registry)


def test_kopf_is_pinned_because_of_its_private_list() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert f"kopf=={version('kopf')}" in project["optional-dependencies"]["operator"]


async def test_nothing_is_expected_of_a_scheduler_that_is_gone() -> None:
    clock = Clock()
    gone = memo(clock, succeed)
    event: dict[str, Any] = {"uid": "u", "meta": META, "memo": gone}
    await wiring._on_event(type="ADDED", **event)
    await wiring._on_event(type="DELETED", **event)
    await reconcile(gone)  # one that was under way
    assert await live_after(gone.loop, clock, 1e9)


async def test_after_a_deletion_what_is_in_force_is_unknown_to_the_ledger() -> None:
    clock = Clock()
    stale = memo(clock, succeed)
    before = stale.loop.reconciler.ledger.lag
    await wiring._on_event(type="DELETED", uid="u", meta=META, memo=stale)
    clock.now += 100
    assert stale.loop.reconciler.ledger.lag == before + timedelta(seconds=100)


async def test_a_scheduler_whose_timer_never_begins_is_noticed() -> None:
    clock = Clock()
    seen = memo(clock, succeed)
    assert await live_after(seen.loop, clock, 1e9)
    await wiring._on_event(type="ADDED", uid="u", meta=META, memo=seen)
    assert not await live_after(seen.loop, clock, RECONCILE_LIMIT_SECONDS + PATIENCE_SECONDS + 1)


@pytest.mark.parametrize("edited", [True, False], ids=["an edit", "a changed CronJob"])
async def test_an_edit_of_the_scheduler_ends_a_back_off_and_nothing_else(edited: bool) -> None:
    failing = memo(Clock(), fail)
    while failing.loop.timer.schedule_after_failure() < LAST_RETRY_SECONDS:
        pass
    if edited:
        await wiring._on_event(type="MODIFIED", uid="u", meta=META, memo=failing)
    else:
        failing.loop.hear_of_change()
    waiting = asyncio.ensure_future(reconcile(failing))
    await asyncio.wait({waiting}, timeout=LAST_RETRY_SECONDS / 2 if edited else 2 * SHORTEST_GATHERING_SECONDS)
    assert waiting.done() == edited
    waiting.cancel()


async def test_told_to_stop_it_stops_in_the_middle() -> None:
    stopped, begun = Stopped(), asyncio.Event()
    ill = memo(Clock(), hanging(begun))
    task = asyncio.ensure_future(wiring._reconcile(namespace="n", name="default", uid="u", memo=ill, stopped=stopped))
    await begun.wait()
    others = asyncio.all_tasks()
    stopped.set()
    await asyncio.wait_for(task, 5)
    assert task.exception() is None
    assert len(others) > 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_line_of_kopfs_names_its_object_and_carries_no_settings() -> None:
    logger = logging.getLogger("kopf.objects")
    body = Body({"kind": "RegionScheduler", "metadata": {"name": "default"}})
    lines: list[dict[str, object]] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(JsonFormatter({}).format(record)))  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.addFilter(wiring.shorten_kopf_record)
    try:
        LocalObjectLogger(body=body, settings=OperatorSettings()).warning("did not exit")
    finally:
        logger.removeFilter(wiring.shorten_kopf_record)
        logger.removeHandler(handler)
    [line] = lines
    assert line.keys() == {"ts", "level", "event", "object"}
    assert line["object"] == "RegionScheduler/default"


@pytest.mark.parametrize(
    ("name", "message", "level"),
    [
        ("kopf._cogs.clients.watching", "Request attempt #1 failed; will retry: GET x", "WARNING"),
        ("kopf._cogs.clients.watching", "Request attempt #9 failed; escalating: GET x", "ERROR"),
        ("region_operator.kube.apply", "will retry", "ERROR"),
    ],
)
def test_what_kopf_will_retry_is_no_error(name: str, message: str, level: str) -> None:
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, None, None)
    assert wiring._downgrade_retry_errors(record)
    assert (record.levelname, record.levelno) == (level, logging.getLevelNamesMapping()[level])
