"""kubectl as a person uses it, against the test's own cluster and namespace.

What is only read, and read again and again until something happens, is asked of the API server directly: starting
kubectl costs a tenth of a second of processor time, and a question over a connection that stands costs a fiftieth of
that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from kubernetes.config import new_client_from_config
from urllib3.exceptions import HTTPError

TIMEOUT_SECONDS = 120

READ = {
    "cronjobs": "/apis/batch/v1/namespaces/{namespace}/cronjobs",
    "events": "/api/v1/namespaces/{namespace}/events",
    "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "leases": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    "pods": "/api/v1/namespaces/{namespace}/pods",
    "regionschedulers": "/apis/region-tick.dev/v1alpha1/namespaces/{namespace}/regionschedulers",
    "resourcequotas": "/api/v1/namespaces/{namespace}/resourcequotas",
}
"""What is read directly, by its plural: the path of the collection."""


def kubectl_binary() -> str:
    """Return the kubectl of the environment that runs the tests."""
    beside = Path(sys.executable).with_name("kubectl")
    return str(beside) if beside.exists() else shutil.which("kubectl") or "kubectl"


@cache
def _client(kubeconfig: Path) -> Any:
    return new_client_from_config(str(kubeconfig))


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl; every call has a timeout and fails with kubectl's own words."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = self._run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def fails(self, *arguments: str) -> str:
        """Return what kubectl says of a failure; nothing where there is none."""
        done = self._run(*arguments)
        return done.stderr if done.returncode else ""

    def _run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [kubectl_binary(), "--namespace", self.namespace, *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get ... -o json` prints."""
        match arguments:
            case (str(kind), "--selector", str(selector)) if kind in READ:
                return self._read(READ[kind], labelSelector=selector)
            case (str(kind),) if kind in READ:
                return self._read(READ[kind])
            case (str(kind), str(name)) if f"{kind}s" in READ and not name.startswith("-"):
                return self._read(f"{READ[f'{kind}s']}/{name}")
        return json.loads(self("get", *arguments, "--output", "json"))

    def _read(self, path: str, **query: str) -> Any:
        """Return the API server's answer. Raises AssertionError, as a kubectl that fails does."""
        client = _client(self.kubeconfig)
        asked = client.param_serialize(
            "GET",
            path.format(namespace=self.namespace),
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        try:
            answer = client.call_api(*asked, _request_timeout=TIMEOUT_SECONDS)
            content = answer.read()
        except (HTTPError, OSError) as error:
            raise AssertionError(f"GET {path}: {error}") from error
        assert answer.status == HTTPStatus.OK, f"GET {path}: {content.decode()}"
        return json.loads(content)

    def cronjobs(self) -> dict[str, dict[str, Any]]:
        """Return our CronJobs by region code."""
        items = self.get("cronjobs", "--selector", "app=region-tick")["items"]
        return {item["metadata"]["annotations"]["region-tick.dev/code"]: item for item in items}

    def scheduler(self) -> dict[str, Any]:
        """Return RegionScheduler `default`, or nothing where there is none."""
        found: list[dict[str, Any]] = self.get("regionschedulers")["items"]
        return found[0] if found else {}

    def ready(self) -> dict[str, Any]:
        """Return the condition Ready of RegionScheduler `default`."""
        conditions = self.scheduler().get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == "Ready"), {})
