"""kube/request_metrics.py: each request to the API server is counted, with what came of it."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from region_operator.kube.request_metrics import NO_ANSWER, count_requests


def counted(method: str, code: str) -> float:
    labels = {"method": method, "code": code}
    return REGISTRY.get_sample_value("region_operator_api_requests_total", labels) or 0.0


async def test_a_request_counts_by_its_method_and_answer() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=409)

    app = web.Application()
    app.router.add_route("*", "/", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    before = counted("PATCH", "409")
    async with aiohttp.ClientSession(trace_configs=[count_requests()]) as session:
        for _ in range(2):
            async with session.patch(f"http://127.0.0.1:{runner.addresses[0][1]}/"):
                pass
    await runner.cleanup()
    assert counted("PATCH", "409") == before + 2


async def test_a_request_without_an_answer_counts_as_an_error() -> None:
    before = counted("GET", NO_ANSWER)
    async with aiohttp.ClientSession(trace_configs=[count_requests()]) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:1/")
    assert counted("GET", NO_ANSWER) == before + 1
