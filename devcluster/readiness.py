"""Asks the API server whether the cluster is ready.

Only the server's own answers count: the connection verifies the cluster's certificate and uses the administrator's
token.
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
    """Call `check` until the result is true. Raises ClusterError naming `what` after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not (answer if isinstance(answer := check(), bool) else await answer):  # noqa: ASYNC110 - no event exists
                await asyncio.sleep(0.1)
    except TimeoutError:
        message = f"{what} was not ready within {seconds:.0f} s"
        raise ClusterError(message) from None


class Asker:
    """Asks one API server. Each question returns False until the server's answer is yes."""

    def __init__(self, layout: Layout, token: str) -> None:
        self._server = layout.server
        self._tls = ssl.create_default_context(cafile=str(certificate(layout)))
        self._headers = {"Authorization": f"Bearer {token}"}

    async def server(self) -> bool:
        """Tell whether /readyz says ok: the server reaches its storage, and RBAC's bootstrap roles exist."""
        return await self._get("/readyz") is not None

    async def controllers(self) -> bool:
        """Tell whether the controller manager works: the default service account exists, which every pod needs."""
        return await self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    async def node(self) -> bool:
        """Tell whether the node is ready for pods."""
        answer = await self._get("/api/v1/nodes/node")
        conditions = answer["status"].get("conditions", []) if answer else []
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    async def _get(self, path: str) -> dict[str, Any] | None:
        """Return the answer's JSON object, or {} for an answer without JSON.

        Return None without an answer, or for a status other than 200.
        """
        try:
            async with (
                aiohttp.ClientSession(headers=self._headers, timeout=_REQUEST) as session,
                session.get(self._server + path, ssl=self._tls) as answer,
            ):
                if answer.status != 200:
                    return None
                return await answer.json() if answer.content_type == "application/json" else {}
        except (aiohttp.ClientError, TimeoutError):
            return None
