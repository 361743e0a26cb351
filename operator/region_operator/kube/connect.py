"""Connects to the API server: in a cluster as the pod's service account, outside by KUBECONFIG."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio import client, config

from region_operator.kube.api import CONCURRENT_REQUESTS, Api, no_limit
from region_operator.kube.request_metrics import count_requests
from region_tick.contract import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

WATCHES = 4
"""How many connections are left for watches, beside CONCURRENT_REQUESTS."""


@asynccontextmanager
async def connect(identity: str, *, time_left: Callable[[], float] = no_limit) -> AsyncIterator[Api]:
    """Connect as the pod's service account, or by KUBECONFIG outside a cluster.

    `identity` stands in the user agent, so an audit log names this process.
    """
    configuration = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(configuration)
    else:
        await config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    configuration.connection_pool_maxsize = CONCURRENT_REQUESTS + WATCHES
    configuration.trace_configs = [count_requests()]
    use_proxy(configuration)
    # `api` retries instead: the client's own retries skip PATCH and 429, and never end if `retries` is False
    configuration.retries = None
    async with client.ApiClient(configuration) as api_client:
        api_client.user_agent = f"region-operator/{VERSION} ({identity})"
        yield Api(api_client, time_left=time_left)


def use_proxy(configuration: client.Configuration) -> None:
    """Set the proxy that the environment names for the API server (HTTPS_PROXY, NO_PROXY), unless KUBECONFIG names one.

    aiohttp would look the proxy up anew for every request, and a password in ~/.netrc too, each in a thread. That costs
    a quarter of the CPU time of a request.
    """
    server = urlsplit(configuration.host)
    if configuration.proxy is None and not proxy_bypass(server.hostname or ""):
        configuration.proxy = getproxies().get(server.scheme)
    configuration.client_session_kwargs = {"trust_env": False}
