"""Tells somebody outside of the cluster that this process leads and looks: one GET of a URL after each full look.

Who is asked notices when the requests stop: the operator is gone, or the node, the cluster, the monitoring. No alert of
the cluster's own can tell that. A request that fails is counted, and the next full look sends the next one.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from region_operator.runtime import metrics

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10


class Heartbeat:
    """Sends the requests, none if the URL is empty. The URL may hold a secret, so no message has it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._due = asyncio.Event()
        self._failing = False
        for result in ("sent", "failed"):
            metrics.HEARTBEATS.labels(result)

    def beat(self) -> None:
        """Have a request sent, and wait for nothing."""
        self._due.set()

    async def run(self) -> None:
        """Send a request after each `beat`, one at a time, until cancelled."""
        if not self._url:
            return
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            while True:
                await self._due.wait()
                self._due.clear()
                self._record(await _ask(session, self._url))

    def _record(self, problem: str) -> None:
        """Count a request, and log the first of some that fail. `problem` is "" after a success."""
        metrics.HEARTBEATS.labels("failed" if problem else "sent").inc()
        if problem and not self._failing:
            log.warning("heartbeat not sent", extra={"reason": problem})
        if self._failing and not problem:
            log.info("heartbeat sent again")
        self._failing = bool(problem)


async def _ask(session: aiohttp.ClientSession, url: str) -> str:
    """Return what is wrong with the answer to a GET, for people; "" if nothing is."""
    try:
        async with session.get(url) as answer:
            return "" if answer.ok else f"the answer is {answer.status}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return type(error).__name__  # the text of some errors has the URL
