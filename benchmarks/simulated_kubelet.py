"""A kubelet that runs nothing: each tick's pod claims and ends its tick as a process of the tick image would.

A pod of a tick is claimed START_SECONDS after it was seen, ended RUN_SECONDS later, and then reported as succeeded. The
claim and the end are those of the tick image, on a few connections that all pods share. Pods are bound to no node. So
the control plane, the operator and the database do all that they do for real ticks, and ten thousand regions need no
ten thousand processes.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from threading import local
from typing import TYPE_CHECKING, Any

import msgspec
from kubernetes.aio.client import ApiException

from region_operator.cronjobs.labels import APP, CONTAINER
from region_operator.cronjobs.pod_spec import unescape_dollars
from region_operator.kube.api import ERRORS, MERGE
from region_operator.kube.connect import connect
from region_operator.kube.watch import watch
from region_tick.claim import Claimed, Final, claim
from region_tick.contract import Reason, State, Variable
from region_tick.database_url import DatabaseUrl
from region_tick.environment import Environment
from region_tick.fence import Ending, finish
from region_tick.session import connect as connect_to_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from region_operator.kube.api import Api

START_SECONDS = 2.0
RUN_SECONDS = 1.0
LEASE_SECONDS = 90.0
CONNECTIONS = 8
SUCCESS = Ending(state=State.SUCCEEDED, reason=Reason.OK)


@asynccontextmanager
async def running_kubelet(namespace: str, database: str) -> AsyncIterator[None]:
    """Run the pods of the ticks of a namespace until the end of the context. `database` is the ticks' URL.

    An error of a pod ends the context at once, as an ExceptionGroup.
    """
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        async with connect("simulated kubelet") as api, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(Kubelet(api, namespace, database, threads).run())
            yield
            running.cancel()


class Kubelet:
    """Watches the pods of one namespace, and runs each of them once."""

    def __init__(self, api: Api, namespace: str, database: str, threads: ThreadPoolExecutor) -> None:
        self._api, self._database, self._threads = api, database, threads
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._seen: set[str] = set()
        self._local = local()

    async def run(self) -> None:
        """Run every pod that comes, until cancelled or until a pod cannot be run."""
        async with asyncio.TaskGroup() as pods:
            while True:
                with suppress(*ERRORS):  # the next watch begins with a list of all pods
                    async for event in watch(self._api, f"{self._path}?labelSelector=app%3D{APP}", since=None):
                        if event.type == "ADDED":
                            pod = msgspec.json.decode(event.object)
                            if pod["metadata"]["uid"] not in self._seen:
                                self._seen.add(pod["metadata"]["uid"])
                                pods.create_task(self._run(pod))
                await asyncio.sleep(1)

    async def _run(self, pod: dict[str, Any]) -> None:
        environment = Environment.read(variables_of(pod, self._database))
        await asyncio.sleep(START_SECONDS)
        result = await self._in_thread(self._claim, environment)
        if isinstance(result, Claimed):
            await asyncio.sleep(RUN_SECONDS)
            await self._in_thread(self._finish, result)
        elif not isinstance(result, Final):
            raise RuntimeError(f"{environment.job_name}: another pod has the tick: {result}")
        ended = {"name": CONTAINER, "ready": False, "restartCount": 0, "image": "", "imageID": ""}
        status = {"phase": "Succeeded", "containerStatuses": [ended | {"state": {"terminated": {"exitCode": 0}}}]}
        path = f"{self._path}/{pod['metadata']['name']}/status"
        try:
            await self._api.request("PATCH", path, body={"status": status}, content_type=MERGE)
        except ApiException as error:
            if error.status != HTTPStatus.NOT_FOUND:  # a pod may be deleted with its Job: the ledger does so
                raise

    async def _in_thread(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _claim(self, environment: Environment) -> Any:
        return claim(self._connection(), environment, lease_seconds=LEASE_SECONDS)

    def _finish(self, claimed: Claimed) -> None:
        if not finish(self._connection(), claimed, SUCCESS):
            raise RuntimeError(f"the lease was lost: {claimed}")

    def _connection(self) -> Any:
        if not hasattr(self._local, "connection"):
            self._local.connection = connect_to_database(DatabaseUrl.parse(self._database))
        return self._local.connection


def variables_of(pod: dict[str, Any], database: str) -> dict[str, str]:
    """Return the environment variables of a tick's pod, as a kubelet resolves them. `database` is in no pod."""
    [container] = [each for each in pod["spec"]["containers"] if each["name"] == CONTAINER]
    variables = {str(Variable.DATABASE_URL): database}
    for variable in container["env"]:
        if "value" in variable:
            variables[variable["name"]] = unescape_dollars(variable["value"])
        elif "fieldRef" in variable.get("valueFrom", {}):
            variables[variable["name"]] = field_of(pod, variable["valueFrom"]["fieldRef"]["fieldPath"])
    return variables


def field_of(pod: dict[str, Any], path: str) -> str:
    """Return the text at a fieldPath. Pods are bound to no node, so a missing field has a text of its own."""
    section, _, name = path.partition(".")
    if label := re.fullmatch(r"labels\['(.+)'\]", name):
        return str(pod[section]["labels"][label[1]])
    return str(pod[section].get(name, "simulated"))
