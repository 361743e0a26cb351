"""Asks the API server what the console shows of the cluster. Nothing is written, and no Secret is read.

Each question is about one object, or about what belongs to one Job. So the cost of a page does not grow with the
number of regions. A question waits a few seconds at most.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kubernetes.aio.client import ApiException

from region_operator.console.chain import SeenCronJob, SeenEvent, SeenJob, SeenPod
from region_operator.cronjobs.labels import PAUSED_ANNOTATION
from region_operator.kube.api import ApiUnavailableError, answer_within
from region_operator.kube.api_errors import describe
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.ledger.job_watch import jobs_path
from region_operator.scheduler import DEFAULT_NAME, scheduler_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from region_operator.kube.api import Api

Body = dict[str, Any]

SECONDS = 3.0
"""How long a page waits for an answer of the API server."""

PODS_AT_MOST, EVENTS_AT_MOST = 20, 50

RIGHTS = "kubectl apply -f manifests/console gives the console the rights that it needs"

_OPERATORS = "app.kubernetes.io/name=region-tick,app.kubernetes.io/component=operator"
_FINE_REASONS = ("Completed", "PodCompleted", "ContainerCreating", "PodInitializing")


class Cluster:
    """The console's connection to one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self.namespace = api, namespace

    async def scheduler(self) -> Body | None:
        """Return RegionScheduler `default`, None without one. Raises what `api.ERRORS` lists."""
        return await self._get(scheduler_path(self.namespace, DEFAULT_NAME))

    async def cronjob(self, name: str) -> SeenCronJob | None:
        """Return a CronJob, None if it is gone. Raises what `api.ERRORS` lists."""
        body = await self._get(f"{cronjobs_path(self.namespace)}/{quote(name, safe='')}")
        return None if body is None else read_cronjob(body)

    async def job(self, name: str) -> SeenJob | None:
        """Return a Job, None if it is gone. Raises what `api.ERRORS` lists."""
        body = await self._get(f"{jobs_path(self.namespace)}/{quote(name, safe='')}")
        return None if body is None else read_job(body)

    async def pods(self, job: str) -> tuple[SeenPod, ...]:
        """Return a Job's pods, the oldest first. Raises what `api.ERRORS` lists."""
        items = await self._list("pods", labelSelector=f"batch.kubernetes.io/job-name={job}", limit=str(PODS_AT_MOST))
        return tuple(sorted(map(read_pod, items), key=lambda pod: pod.created))

    async def events(self, names: Iterable[str]) -> tuple[SeenEvent, ...]:
        """Return the Events about objects of these names. Raises what `api.ERRORS` lists."""
        answers = await asyncio.gather(
            *(
                self._list("events", fieldSelector=f"involvedObject.name={name}", limit=str(EVENTS_AT_MOST))
                for name in dict.fromkeys(names)
            )
        )
        return tuple(read_event(item) for items in answers for item in items)

    async def operator_image(self) -> str | None:
        """Return the image of an operator's pod, None if no pod has our labels. Raises what `api.ERRORS` lists."""
        items = await self._list("pods", labelSelector=_OPERATORS, limit="1")
        images = [container["image"] for item in items for container in item["spec"]["containers"]]
        return images[0] if images else None

    async def _get(self, path: str) -> Body | None:
        try:
            return await answer_within(self._api.get(path), seconds=SECONDS)
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _list(self, resource: str, **query: str) -> list[Body]:
        path = f"/api/v1/namespaces/{self.namespace}/{resource}"
        answer = await answer_within(self._api.request("GET", path, query=query), seconds=SECONDS)
        items: list[Body] = answer["items"]
        return items


def describe_error(error: ApiException | ApiUnavailableError) -> str:
    """Say why the API server gave no answer, without its address."""
    return describe(error, rights=RIGHTS) if isinstance(error, ApiException) else "the API server does not answer"


def read_cronjob(body: Body) -> SeenCronJob:
    """Read what the console shows of a CronJob."""
    meta = body["metadata"]
    annotations = meta.get("annotations", {})
    entries = [entry for entry in meta.get("managedFields", []) if not entry.get("subresource")]
    managers = sorted(
        ((entry.get("manager", ""), _time(entry.get("time"))) for entry in entries),
        key=lambda entry: (entry[1] is not None, entry[1]),
        reverse=True,
    )
    return SeenCronJob(
        name=meta["name"],
        uid=meta["uid"],
        created=_known(meta["creationTimestamp"]),
        suspended=bool(body["spec"].get("suspend")),
        paused=annotations.get(PAUSED_ANNOTATION) == "true",
        managers=tuple(managers),
        paused_by=annotations.get(f"{PAUSED_ANNOTATION}-by"),
        paused_reason=annotations.get(f"{PAUSED_ANNOTATION}-reason"),
        paused_since=_time(annotations.get(f"{PAUSED_ANNOTATION}-since")),
        paused_until=_time(annotations.get(f"{PAUSED_ANNOTATION}-until")),
    )


def read_job(body: Body) -> SeenJob:
    """Read what the console shows of a Job."""
    status = body.get("status", {})
    ends = [item for item in status.get("conditions", []) if item["type"] in ("Complete", "Failed")]
    end = next((item for item in ends if item["status"] == "True"), None)
    return SeenJob(
        name=body["metadata"]["name"],
        created=_known(body["metadata"]["creationTimestamp"]),
        ended=_time(end.get("lastTransitionTime")) if end else None,
        failed=end is not None and end["type"] == "Failed",
        end=": ".join(filter(None, (end["type"], end.get("reason"), end.get("message")))) if end else "",
    )


def read_pod(body: Body) -> SeenPod:
    """Read what the console shows of a pod."""
    return SeenPod(
        name=body["metadata"]["name"],
        node=body["spec"].get("nodeName"),
        created=_known(body["metadata"]["creationTimestamp"]),
        phase=body.get("status", {}).get("phase", "Unknown"),
        trouble="; ".join(_troubles(body.get("status", {}))),
    )


def read_event(body: Body) -> SeenEvent:
    """Read what the console shows of an Event."""
    about = body.get("involvedObject", {})
    series = body.get("series") or {}
    times = (series.get("lastObservedTime"), body.get("lastTimestamp"), body.get("eventTime"))
    at = next(filter(None, times), body["metadata"].get("creationTimestamp"))
    return SeenEvent(
        at=_time(at),
        about=f"{about.get('kind', 'object')} {about.get('name', '?')}",
        reason=body.get("reason") or "",
        message=" ".join((body.get("message") or "").split()),
        count=series.get("count") or body.get("count") or 1,
        warning=body.get("type") == "Warning",
    )


def _troubles(status: Body) -> Iterable[str]:
    if status.get("reason"):
        yield ": ".join(filter(None, (status["reason"], status.get("message"))))
    for condition in status.get("conditions", []):
        wrong = condition["type"] == "DisruptionTarget" or condition["type"] == "PodScheduled"
        if wrong and condition["status"] == ("True" if condition["type"] == "DisruptionTarget" else "False"):
            yield ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        for state in (container.get("state", {}), container.get("lastState", {})):
            found = state.get("waiting") or state.get("terminated") or {}
            if found and found.get("reason") not in _FINE_REASONS:
                code = f"exit code {found['exitCode']}" if "exitCode" in found else None
                said = filter(None, (found.get("reason"), code, found.get("message")))
                yield f"container {container['name']}: {', '.join(' '.join(text.split()) for text in map(str, said))}"


def _known(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time(text: str | None) -> datetime | None:
    """Read a time that anybody may have written; None for one that cannot be read."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
