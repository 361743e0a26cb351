"""Reads objects as `kubectl get` prints them, without a process of kubectl.

Tests that wait ask several times a second. A call of kubectl costs a twentieth of a second of one core, and other tests
need the core. Unknown resources or arguments, and every failure, are left to `kubectl`.
"""

from __future__ import annotations

import base64
import json
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3
import yaml

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 30

_PATHS = {
    "cronjob": "apis/batch/v1/namespaces/{namespace}/cronjobs",
    "event": "api/v1/namespaces/{namespace}/events",
    "job": "apis/batch/v1/namespaces/{namespace}/jobs",
    "lease": "apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    "namespace": "api/v1/namespaces",
    "pod": "api/v1/namespaces/{namespace}/pods",
    "regionscheduler": "apis/region-tick.dev/v1alpha1/namespaces/{namespace}/regionschedulers",
    "resourcequota": "api/v1/namespaces/{namespace}/resourcequotas",
}


def read(kubeconfig: Path, namespace: str, *arguments: str) -> Any:
    """Return what `kubectl get` prints with `arguments` and `--output json`. Return None if the caller has to ask
    kubectl.
    """
    match arguments:
        case (resource,):
            name, selector = "", ""
        case (resource, "--selector", selector):
            name = ""
        case (resource, name) if not name.startswith("-"):
            selector = ""
        case _:
            return None
    path = _PATHS.get(resource.removesuffix("s"))
    if path is None:
        return None
    url = f"/{path.format(namespace=namespace)}" + (f"/{quote(name)}" if name else "")
    query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
    found = _ask(kubeconfig, url + query)
    if found is not None and not name:
        kind = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        found["items"] = [kind | item for item in found["items"]]
    for item in () if found is None else found.get("items", [found]):
        item["metadata"].pop("managedFields", None)
    return found


def _ask(kubeconfig: Path, url: str) -> Any:
    try:
        pool, headers = connection(kubeconfig.read_text())
        answer = pool.request("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, retries=False)
    except (KeyError, urllib3.exceptions.HTTPError):
        return None
    return json.loads(answer.data) if answer.status == 200 else None


@lru_cache(maxsize=64)
def connection(kubeconfig: str) -> tuple[urllib3.HTTPSConnectionPool, dict[str, str]]:
    """Return the connections to a kubeconfig's API server, and the headers with our token.

    Raises KeyError for a kubeconfig without a token.
    """
    content = yaml.safe_load(kubeconfig)
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    server = urllib3.util.parse_url(cluster["server"])
    pool = urllib3.HTTPSConnectionPool(
        server.host or "",
        server.port or 443,
        maxsize=4,
        ssl_context=ssl.create_default_context(cadata=authority),
    )
    return pool, {"Authorization": f"Bearer {user['token']}"}
