"""Writes a RegionScheduler's status.

Only the fields that differ are written, so an idle operator writes nothing. What the status says is left to
`plan.status`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kubernetes.aio.client import ApiException

from region_operator.kube.api import MERGE, Api, ApiUnavailableError, answer_within
from region_operator.kube.api_errors import describe
from region_operator.runtime.condition_metrics import CONDITIONS
from region_operator.scheduler import scheduler_path

if TYPE_CHECKING:
    from region_operator.plan.status import Status
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)


async def write_status(api: Api, scheduler: Scheduler, new: Status, *, as_read: bool = False) -> Scheduler:
    """Write the status fields that differ; return the RegionScheduler with the status after the write. Serve the
    conditions as a metric, whatever becomes of the write.

    With `as_read`, raises ApiException 409 if the RegionScheduler has changed since the read. Raises what `api.ERRORS`
    lists.
    """
    CONDITIONS.show(new.get("conditions", ()))
    if new == scheduler.status:
        return scheduler
    changed = {key: value for key, value in new.items() if scheduler.status.get(key) != value}
    removed = dict.fromkeys(scheduler.status.keys() - new.keys())  # a merge patch removes the fields that are null
    body: dict[str, Any] = {"status": changed | removed}
    if as_read:
        body["metadata"] = {"resourceVersion": scheduler.resource_version}
    path = f"{scheduler_path(scheduler.namespace, scheduler.name)}/status"
    answer = await api.request("PATCH", path, body=body, content_type=MERGE)
    return scheduler.model_copy(update={"status": answer.get("status", {})})


async def try_to_write_status(api: Api, scheduler: Scheduler, new: Status, *, seconds: float) -> Scheduler:
    """Write a status on which nothing depends, within `seconds`. Log an error of the write.

    Returns the RegionScheduler with the status as last written. Raises nothing but cancellation.
    """
    try:
        return await answer_within(write_status(api, scheduler, new), seconds=seconds)
    except ApiException as error:
        log.warning("status not written", extra={"reason": describe(error)})
    except ApiUnavailableError as error:
        log.warning("status not written", extra={"reason": str(error)})
    return scheduler
