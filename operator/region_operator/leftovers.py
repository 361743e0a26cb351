"""Finds what a RegionScheduler left behind that was deleted with `spec.deletionPolicy: Orphan`.

What is found is written as a shell script that removes it. The commands name each object: a selector by labels would
also take an object of somebody else that has our labels.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from kubernetes.aio.client import ApiException

from region_operator.cronjobs.labels import FIELD_MANAGER, QUOTA_NAME
from region_operator.cronjobs.live import LiveCronJob
from region_operator.cronjobs.ownership import is_marked
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.kube.lease_record import NAME
from region_operator.kube.quota import quota_path
from region_operator.kube.scheduler_presence import SchedulerPresence
from region_operator.scheduler import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from region_operator.kube.api import Api

NAMES_AT_ONCE = 100
"""How many CronJobs a command names. A shell limits the length of a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What is left in a namespace without a RegionScheduler: the names of CronJobs, and the ResourceQuota."""

    namespace: str
    cronjobs: tuple[str, ...] = ()
    quota: bool = False

    def __bool__(self) -> bool:
        """Tell whether anything is left."""
        return bool(self.cronjobs or self.quota)

    def as_script(self) -> str:
        """Return a shell script that says what is left and removes it."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self:
            yield f"# nothing is left over in namespace {self.namespace}"
            return
        yield f"# namespace {self.namespace} has no RegionScheduler {DEFAULT_NAME}, and {FIELD_MANAGER} left there"
        yield f"# {len(self.cronjobs)} CronJobs, which tick on; a RegionScheduler {DEFAULT_NAME} adopts them"
        delete = f"kubectl delete -n {shlex.quote(self.namespace)}"
        for start in range(0, len(self.cronjobs), NAMES_AT_ONCE):
            names = " ".join(f"cronjob.batch/{name}" for name in self.cronjobs[start : start + NAMES_AT_ONCE])
            yield f"{delete} --cascade=orphan {names}"  # a tick that runs ends in peace
        if self.quota:
            yield f"{delete} resourcequota/{QUOTA_NAME}"
        yield "# without the operator, its Lease is left too, and keeps the next one from making a RegionScheduler:"
        yield f"# {delete} lease.coordination.k8s.io/{NAME}"


async def find_leftovers(api: Api, namespace: str) -> Leftovers:
    """Look for what is left over, and change nothing. With a RegionScheduler, nothing is. Raises what `api.ERRORS`
    lists.
    """
    try:
        if await SchedulerPresence(api, namespace).uid():
            return Leftovers(namespace=namespace)
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:  # without the resource type there is no RegionScheduler
            raise
    found = [LiveCronJob.from_object(body) async for body in api.items(cronjobs_path(namespace))]
    quota = await api.get(quota_path(namespace))
    return Leftovers(
        namespace=namespace,
        cronjobs=tuple(sorted(live.name for live in found if live.ours and not live.terminating)),
        quota=quota is not None and is_marked(quota),
    )
