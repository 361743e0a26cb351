"""kube/reflector.py on a real API server, as the watches of CronJobs and of Jobs use it: how a watch begins, fails and
goes on.

A watch whose past is gone from etcd itself: tests/faults/test_api_server.py.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio.client import ApiException

from region_operator.cronjobs.job import JobState
from region_operator.kube import watch as watch_module
from region_operator.kube.connect import connect
from region_operator.kube.cronjob_watch import CronJobWatch
from region_operator.kube.reflector import Reflector
from region_operator.ledger.job_watch import JobWatch
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from region_operator.cronjobs.wire import WatchEvent
    from region_operator.kube.api import Api
    from tests.harness.kubectl import Kubectl

_POD = {"restartPolicy": "Never", "containers": [{"name": "tick", "image": "none"}]}


@dataclass
class Subject:
    """A watch of one kind in the test's namespace. `queries` are those of the requests so far."""

    kind: str
    watch: CronJobWatch | JobWatch
    kubectl: Kubectl
    queries: list[dict[str, str]]

    @property
    def names(self) -> set[str]:
        """The objects that the watch says exist."""
        if isinstance(self.watch, CronJobWatch):
            return {live.name for live in self.watch.cache.cronjobs}
        jobs = [job for jobs in self.watch.jobs.by_region().values() for job in jobs]
        return {job.name for job in jobs if job.state is not JobState.GONE}

    @property
    def lists(self) -> int:
        """How many pages were asked for so far."""
        return sum("limit" in query for query in self.queries)

    def create(self, name: str) -> None:
        """Create an object that nobody changes."""
        template = {"spec": _POD}
        body: dict[str, Any] = {"schedule": "@yearly", "jobTemplate": {"spec": {"template": template}}}
        if self.kind == "Job":
            body = {"suspend": True, "template": template}
        meta = {"name": name, "labels": {"app": "region-tick"}}
        made = {"apiVersion": "batch/v1", "kind": self.kind, "metadata": meta, "spec": body}
        self.kubectl("create", "-f", "-", stdin=json.dumps(made))

    def delete(self, name: str) -> None:
        self.kubectl("delete", self.kind, name)

    async def catch_up(self) -> None:
        if isinstance(self.watch, CronJobWatch):
            await self.watch.catch_up(self.kubectl.namespace, full=False)
        else:
            await self.watch.catch_up(self.kubectl.namespace)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task: asyncio.Task[None] = asyncio.create_task(self.watch.run(self.kubectl.namespace))
        await asyncio.sleep(0)  # the task begins
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def expect(self, *names: str) -> None:
        await until(lambda: self.names == set(names), what=f"{names} are known")


async def until(check: Callable[[], object], *, what: str) -> None:
    await asyncio.to_thread(eventually, check, what=what)


def record_queries(api: Api, queries: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    send = api.send

    async def recorded(*arguments: Any, **keywords: Any) -> Any:
        queries.append(dict(keywords["query"] or {}))
        return await send(*arguments, **keywords)

    monkeypatch.setattr(api, "send", recorded)


@pytest.fixture(params=["CronJob", "Job"])
async def subject(
    request: pytest.FixtureRequest, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Subject]:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    async with connect("a test") as api:
        queries: list[dict[str, str]] = []
        record_queries(api, queries, monkeypatch)
        watch = CronJobWatch(api) if request.param == "CronJob" else JobWatch(api)
        yield Subject(request.param, watch, kubectl, queries)


@pytest.fixture
def no_streaming_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows no streaming lists refuses them as this server refuses this one."""
    monkeypatch.setitem(watch_module._STREAMING_LIST, "resourceVersionMatch", "Exact")


@pytest.fixture(params=["streaming list", "pages"])
def _beginning(request: pytest.FixtureRequest) -> None:
    if request.param == "pages":
        request.getfixturevalue("no_streaming_lists")


@pytest.mark.usefixtures("_beginning")
async def test_what_stands_is_known_at_once_and_what_happens_is_told(subject: Subject) -> None:
    for name in ("first", "second"):
        await asyncio.to_thread(subject.create, name)
    async with subject.running():
        await subject.catch_up()
        assert subject.names == {"first", "second"}
        lists = subject.lists
        await asyncio.to_thread(subject.create, "third")
        await asyncio.to_thread(subject.delete, "first")
        await subject.expect("second", "third")
        await subject.catch_up()
        assert subject.lists == lists, "the watch is relied on"
    await subject.catch_up()
    assert subject.lists == lists + 1, "without a watch everything is listed"


@pytest.mark.usefixtures("no_streaming_lists")
async def test_a_server_without_streaming_lists_is_asked_for_one_only_once(subject: Subject) -> None:
    async with subject.running():
        await until(lambda: "resourceVersion" in (subject.queries or [{}])[-1], what="the watch goes on from the list")
    assert ["sendInitialEvents" in query for query in subject.queries] == [True, False, False]


async def test_a_server_that_ends_each_watch_at_once_is_not_asked_all_the_time(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a server does that is about to stop. A real one cannot be held in that state."""
    asked = 0

    async def ended(*_: object, **__: object) -> AsyncGenerator[WatchEvent]:
        nonlocal asked
        asked += 1
        events: tuple[WatchEvent, ...] = ()
        for event in events:
            yield event

    monkeypatch.setattr("region_operator.kube.reflector.watch", ended)
    async with subject.running():
        await asyncio.wait({asyncio.create_task(asyncio.Event().wait())}, timeout=3)
    assert 2 <= asked <= 4


@pytest.mark.usefixtures("_beginning")
async def test_a_watch_that_the_server_ends_goes_on_from_where_it_came_to(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(watch_module._FOLLOWING, "timeoutSeconds", "2")
    async with subject.running():
        await subject.catch_up()
        began = len(subject.queries)
        await until(lambda: len(subject.queries) >= began + 2, what="it goes on")
        await asyncio.to_thread(subject.create, "late")
        await subject.expect("late")
    assert all("resourceVersion" in query for query in subject.queries[began:])
    assert caplog.messages == []


async def test_a_watch_that_fails_is_relied_on_no_more_and_begun_again(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a proxy answers with what is no JSON."""
    with monkeypatch.context() as patch:
        patch.setattr(Reflector, "_take_event", lambda _watch, _event: 1 / 0)
        async with subject.running():
            await subject.catch_up()
            await asyncio.to_thread(subject.create, "missed")
            await until(lambda: "not watching" in caplog.messages, what="the failure is told")
            await subject.catch_up()
            assert subject.names == {"missed"}
            patch.undo()
            await asyncio.to_thread(subject.delete, "missed")
            await subject.expect()
    [line] = [record for record in caplog.records if record.message == "not watching"]
    assert vars(line)["resource"] == f"{subject.kind.lower()}s"


async def test_a_watch_that_goes_silent_is_relied_on_no_more_and_begun_again(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A real server is silent for a minute, so a few tenths of a second are its silence here."""
    caplog.set_level("INFO")
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 0.3)
    async with subject.running():
        await subject.catch_up()
        await until(lambda: "not watching" in caplog.messages, what="the silence is noticed")
        monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 90.0)
        lists = subject.lists
        await subject.catch_up()
        assert subject.lists == lists + 1 or "watching again" in caplog.messages
        await until(lambda: "watching again" in caplog.messages, what="it is begun again")
        await asyncio.to_thread(subject.create, "late")
        await subject.expect("late")


@pytest.mark.usefixtures("_beginning")
async def test_a_watch_whose_past_the_server_has_forgotten_begins_with_a_list(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """This server has forgotten nothing yet, so the first answer is made up."""
    caplog.set_level("INFO")
    real, since = watch_module.watch, list[str | None]()

    def forgetful(*arguments: Any, **keywords: Any) -> AsyncGenerator[WatchEvent]:
        since.append(keywords["since"])
        if keywords["since"] == "1":
            raise ApiException(status=410, reason="Expired")
        return real(*arguments, **keywords)

    monkeypatch.setattr("region_operator.kube.reflector.watch", forgetful)
    await asyncio.to_thread(subject.create, "first")
    subject.watch._reflector._version = "1"
    async with subject.running():
        await subject.expect("first")
        await asyncio.to_thread(subject.create, "second")
        await subject.expect("first", "second")
    assert since[:2] == ["1", None], "then by pages, if the streaming list is refused"
    assert caplog.messages == ["not watching", "watching again"]
