"""kube/date_header.py on a real socket: every answer that shows a time tells of the server's clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.aio import client

from region_operator.kube.api import ERRORS, Api
from region_operator.kube.date_header import parse_date


@pytest.mark.parametrize(
    ("header", "time"),
    [
        ("Sun, 29 Nov 2026 12:00:07 GMT", datetime(2026, 11, 29, 12, 0, 7, tzinfo=UTC)),
        ("Sun, 29 Nov 2026 12:00:07 -0000", None),  # of no known zone
        ("Sun, 31 Nov 2026 12:00:07 GMT", None),
        ("Sun, 29 Nov 99999999999999999999 12:00:07 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_date_is_read_or_left_out(header: str, time: datetime | None) -> None:
    assert parse_date(header) == time


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "409 Conflict"])
async def test_an_answer_tells_of_the_servers_clock_whatever_its_status(status: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        date = "Date: Mon, 03 Jan 2028 00:00:00 GMT\r\n"
        writer.write(f"HTTP/1.1 {status}\r\n{date}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}")) as api_client:
        api = Api(api_client)
        assert api.clock.now() is None
        try:
            await api.get("/x")
        except ERRORS:
            assert status.startswith("409")
        now = api.clock.now()
    assert now is not None
    assert timedelta() <= now - datetime(2028, 1, 3, tzinfo=UTC) < timedelta(seconds=2)
