"""Asks the API server whether the cluster is there yet.

Believes only answers of the server itself, over the certificate that it made and with the administrator's token.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp

from devcluster.controlplane import certificate
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from devcluster.state import Layout

_REQUEST = aiohttp.ClientTimeout(total=5)


async def until(check: Callable[[], bool | Awaitable[bool]], *, seconds: float, what: str) -> None:
    """Returns when `check` is true; raises ClusterError naming `what` after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not (answer if isinstance(answer := check(), bool) else await answer):  # noqa: ASYNC110 - none tells us
                await asyncio.sleep(0.1)
    except TimeoutError:
        message = f"{what} was not ready within {seconds:.0f} s"
        raise ClusterError(message) from None


class Asker:
    """Questions to one API server; each answers False where the server cannot say yes yet."""

    def __init__(self, layout: Layout, token: str) -> None:
        self._server = layout.server
        self._trust = ssl.create_default_context(cafile=str(certificate(layout)))
        self._headers = {"Authorization": f"Bearer {token}"}

    async def server(self) -> bool:
        """Whether /readyz says ok: storage reached, RBAC's bootstrap roles written."""
        return await self._get("/readyz") is not None

    async def controllers(self) -> bool:
        """Whether the controller manager works: it made the account without which no pod is admitted."""
        return await self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    async def node(self) -> bool:
        """Whether the one node takes pods."""
        answer = await self._get("/api/v1/nodes/node")
        conditions = answer["status"].get("conditions", []) if answer else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    async def _get(self, path: str) -> dict[str, Any] | None:
        """The JSON object, {} for an answer that is none, None where the answer is not 200 or does not come."""
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=_REQUEST) as session,
                session.get(self._server + path, ssl=self._trust) as answer,
            ):
                if answer.status != 200:
                    return None
                return await answer.json() if answer.content_type == "application/json" else {}
        except (aiohttp.ClientError, TimeoutError):
            return None
