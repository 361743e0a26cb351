"""kube/api.py on a real socket: how long a request may last, when `time_left` is called, and what an apply sends."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.aio import client

from region_operator.kube import api as api_module
from region_operator.kube.api import Api
from region_operator.kube.connect import connect
from region_operator.kube.yaml_body import as_yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


CLOCK = datetime(2026, 11, 24, 10, 1, tzinfo=UTC)


class NotLeadingError(Exception):
    pass


@pytest.fixture
async def silent() -> AsyncIterator[tuple[client.ApiClient, list[bytes]]]:
    """A client of a server that reads requests and never answers, and what it has read so far."""
    requests: list[bytes] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}")) as api_client:
        yield api_client, requests


async def test_a_request_ends_when_its_sender_may_write_no_longer_and_is_not_sent_again(
    silent: tuple[client.ApiClient, list[bytes]],
) -> None:
    api_client, requests = silent
    clock = asyncio.get_running_loop().time
    end = clock() + 0.2

    def time_left() -> float:
        if end <= clock():
            raise NotLeadingError
        return end - clock()

    api = Api(api_client, time_left=time_left)
    with pytest.raises(NotLeadingError):
        await asyncio.wait_for(api.delete("/x", uid="u", resource_version="1"), 10)
    assert requests == [b"DELETE /x HTTP/1.1\r\n"]


async def test_nothing_is_sent_by_one_who_does_not_lead(silent: tuple[client.ApiClient, list[bytes]]) -> None:
    api_client, requests = silent

    def time_left() -> float:
        raise NotLeadingError

    api = Api(api_client, time_left=time_left)
    for request in (
        api.apply("/x", {}, manager="m"),
        api.delete("/x", uid="u", resource_version="1"),
        api.request("POST", "/x", body={}),
        api.get("/x"),
    ):
        with pytest.raises(NotLeadingError):
            await request
    assert requests == []


@pytest.mark.parametrize(
    ("body", "leaves"),
    [
        (None, 1),  # when it is asked for
        ({}, 1),
        ({}, 2),  # and when its headers are written, which are kept until its body is
    ],
)
async def test_nothing_is_sent_by_one_who_leads_no_longer_when_it_would_leave(
    silent: tuple[client.ApiClient, list[bytes]], body: dict[str, str] | None, leaves: int
) -> None:
    api_client, requests = silent
    left = iter([10.0] * leaves)

    def time_left() -> float:
        for seconds in left:
            return seconds
        raise NotLeadingError

    with pytest.raises(NotLeadingError):
        await asyncio.wait_for(Api(api_client, time_left=time_left).request("DELETE", "/x", body=body), 5)
    assert requests == []


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text() | st.text(alphabet='\\ud8"🗼\n\x7f'))
def test_any_text_reads_the_same_as_yaml_and_as_json(text: str) -> None:
    body = {"name": text}
    assert yaml.safe_load(as_yaml(body)) == body
    assert json.loads(as_yaml(body)) == body


@pytest.fixture
async def refusing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Callable[[bytes], list[float]]]:
    """KUBECONFIG names a server that gives every request the answer that the function is told; it returns the times of
    the requests so far. The first of those with 429 is told to wait a second.
    """
    asked: list[float] = []
    answer = b""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                asked.append(asyncio.get_running_loop().time())
                wait = b"Retry-After: 1\r\n" if len(asked) == 1 and answer.startswith(b"429") else b""
                writer.write(b"HTTP/1.1 " + answer + b"\r\n" + wait + b"Content-Length: 0\r\n\r\n")
        writer.close()

    def answering(with_status: bytes) -> list[float]:
        nonlocal answer
        answer = with_status
        return asked

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        kubeconfig = {
            "clusters": [{"name": "x", "cluster": {"server": place}}],
            "users": [{"name": "x", "user": {"token": "x"}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "current-context": "x",
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr(api_module, "_RETRY", replace(api_module._RETRY, duration=0.01))
        yield answering


@pytest.mark.parametrize(
    ("method", "status", "wait"),
    [("GET", 500, 0), ("PUT", 503, 0), ("POST", 504, 0), ("PATCH", 500, 0), ("PATCH", 429, 1)],
)
async def test_what_is_refused_is_sent_five_times_and_not_before_it_may(
    refusing: Callable[[bytes], list[float]], method: str, status: int, wait: float
) -> None:
    asked = refusing(f"{status} No".encode())
    async with connect("someone") as api:
        with pytest.raises(client.ApiException) as caught:
            await asyncio.wait_for(api.request(method, "/x", body={}), 10)
    assert caught.value.status == status
    assert len(asked) == 5
    assert asked[1] - asked[0] >= wait


async def test_a_deletion_that_is_refused_is_sent_five_times(refusing: Callable[[bytes], list[float]]) -> None:
    asked = refusing(b"500 No")
    async with connect("someone") as api:
        with pytest.raises(client.ApiException):
            await asyncio.wait_for(api.delete("/x", uid="u", resource_version="1"), 10)
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("answer", "deleted_at"),
    [
        ({"kind": "CronJob", "metadata": {"deletionTimestamp": "2026-11-24T10:00:59Z"}}, CLOCK - timedelta(seconds=1)),
        ({"kind": "Status", "metadata": {}, "status": "Success"}, CLOCK),
        (404, None),
    ],
    ids=["finalizer", "gone at once", "gone before"],
)
async def test_a_deletion_tells_when_it_was(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | int, deleted_at: datetime | None
) -> None:
    async def request(*_: Any, **__: Any) -> dict[str, Any]:
        if isinstance(answer, int):
            raise client.ApiException(status=answer)
        return answer

    api = Api(client.ApiClient(client.Configuration()))
    monkeypatch.setattr(api, "request", request)
    monkeypatch.setattr(api, "now", lambda: CLOCK)
    assert await api.delete("/x", uid="u", resource_version="1") == deleted_at


async def test_what_no_retry_can_mend_is_sent_once(refusing: Callable[[bytes], list[float]]) -> None:
    asked = refusing(b"403 No")
    async with connect("someone") as api:
        with pytest.raises(client.ApiException):
            await api.get("/x")
    assert len(asked) == 1
