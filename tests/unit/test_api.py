"""api.py: against a real socket, how long a request may last and who is asked; and what an apply sends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.aio import client

from region_operator.api import Api, as_yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
@given(st.text() | st.text(alphabet='\\ud8"🗼\n'))
def test_any_text_reads_the_same_as_yaml_and_as_json(text: str) -> None:
    body = {"name": text}
    assert yaml.safe_load(as_yaml(body)) == body
    assert json.loads(as_yaml(body)) == body
