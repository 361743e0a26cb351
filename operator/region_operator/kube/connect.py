"""Connects to the API server: in a cluster as the pod's service account, outside by KUBECONFIG."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kubernetes.aio import client, config

from region_operator.kube.api import CONCURRENT_REQUESTS, Api, no_limit
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
    # `api` retries instead: the client's own retries skip PATCH and 429, and never end if `retries` is False
    configuration.retries = None
    async with client.ApiClient(configuration) as api_client:
        api_client.user_agent = f"region-operator/{VERSION} ({identity})"
        yield Api(api_client, time_left=time_left)
