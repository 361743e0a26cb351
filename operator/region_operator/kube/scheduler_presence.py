"""Knows whether the namespace has a RegionScheduler, and whether the namespace ever had one.

A RegionScheduler that Git or a person has removed must not come back by itself, and its absence must stay loud after a
restart. So a mark outlives the RegionScheduler: an annotation of the Lease with the uid of the last RegionScheduler.
The Lease belongs to the namespace's operators alone and goes with the namespace
(docs/decisions/0030-a-regionscheduler-may-go-and-come.md).
"""

from __future__ import annotations

import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException
from kubernetes.aio.utils.retry import Backoff, on_error, retry_on_conflict

from region_operator.kube.api_errors import describe
from region_operator.kube.lease_record import LAST_SCHEDULER_ANNOTATION, NAME, last_scheduler, lease_path, remembering
from region_operator.scheduler import DEFAULT_NAME, schedulers_path

if TYPE_CHECKING:
    from region_operator.kube.api import Api

log = logging.getLogger(__name__)

WAIT = Backoff(steps=7, duration=0.5, factor=2.0, jitter=0.5)
"""About half a minute: how long an installation may take to serve the resource type."""


class Presence(Enum):
    """Whether a namespace has a RegionScheduler."""

    THERE = auto()
    GONE = auto()
    """There was one."""
    NEVER = auto()


class SchedulerPresence:
    """Looks for the RegionScheduler of a namespace, and keeps the mark. Only a leader may call `remember`."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._lease = lease_path(namespace)
        self._remembered = ""

    async def uid(self) -> str:
        """Return the uid of the namespace's RegionScheduler, "" if there is none.

        Raises what `api.ERRORS` lists; ApiException 404 if the resource type is not served.
        """
        found = (await self._api.request("GET", schedulers_path(self._namespace)))["items"]
        return next((item["metadata"]["uid"] for item in found if item["metadata"]["name"] == DEFAULT_NAME), "")

    async def last_uid(self) -> str:
        """Return the uid of the last RegionScheduler that the mark knows, "" without a mark.

        Raises what `api.ERRORS` lists.
        """
        return last_scheduler(await self._api.get(self._lease) or {})

    async def look(self) -> Presence:
        """Look whether there is a RegionScheduler. Wait for about half a minute for a resource type that is not served.

        Raises what `api.ERRORS` lists.
        """
        if await on_error(WAIT, _is_not_served, self.uid):
            return Presence.THERE
        return Presence.GONE if await self.last_uid() else Presence.NEVER

    async def remember(self, uid: str) -> None:
        """Write the mark, if it is another one. Log a refusal: the next call tries again.

        Raises ApiUnavailableError.
        """
        if uid == self._remembered:
            return
        try:
            await retry_on_conflict(lambda: self._write(uid))  # the election renews the Lease meanwhile
        except ApiException as error:
            log.warning("scheduler not remembered", extra={"reason": describe(error)})
        else:
            self._remembered = uid

    @property
    def loss(self) -> str:
        """What a missing RegionScheduler means that was there once, and how it comes back, for people."""
        return (
            f"RegionScheduler {DEFAULT_NAME} is gone or being deleted, so nothing follows the table any more; its"
            " CronJobs go with it, unless its spec.deletionPolicy was Orphan: create it again, or let the operator make"
            f" it at its next start (unless BOOTSTRAP=false): kubectl annotate lease {NAME} -n {self._namespace}"
            f" {LAST_SCHEDULER_ANNOTATION}-"
        )

    async def _write(self, uid: str) -> None:
        lease = await self._api.get(self._lease)
        if lease is not None and last_scheduler(lease) != uid:
            await self._api.request("PUT", self._lease, body=remembering(lease, uid))


def _is_not_served(error: Exception) -> bool:
    return isinstance(error, ApiException) and error.status == HTTPStatus.NOT_FOUND
