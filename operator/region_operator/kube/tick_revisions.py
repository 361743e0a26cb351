"""Keeps each spec.tick that a CronJob took as a ControllerRevision, the last one and the one before.

The API server lets nobody change the data of a ControllerRevision. A ControllerRevision that another RegionScheduler
left behind is ignored. When a spec.tick is good is left to `spec_trial`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from kubernetes.aio.client import ApiException
from pydantic import ValidationError

from region_operator.cronjobs.labels import APP
from region_operator.cronjobs.manifest_parts import COMMON_LABELS, owner_reference
from region_operator.kube.api import Propagation
from region_operator.tick_spec import TickSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from region_operator.kube.api import Api
    from region_operator.scheduler import Scheduler

KEPT = 2
"""How many ControllerRevisions are kept: the last good one, and the one before for people."""


@dataclass(frozen=True, slots=True)
class TickRevision:
    """A spec.tick that was good once. The greatest `number` is the last one. `written` is None if it is unreadable."""

    name: str
    uid: str
    resource_version: str
    number: int
    written: dict[str, Any] | None

    @property
    def spec(self) -> TickSpec | None:
        """The spec.tick as values; None if this release cannot read it."""
        try:
            return None if self.written is None else TickSpec.model_validate(self.written)
        except ValidationError:
            return None


def digest(tick: dict[str, Any]) -> str:
    """Return the hash of a spec.tick as written."""
    return hashlib.sha256(msgspec.json.encode(tick, order="sorted")).hexdigest()[:10]


async def read_revisions(api: Api, scheduler: Scheduler) -> list[TickRevision]:
    """Return the revisions of a RegionScheduler, the last one first. Raises what `api.ERRORS` lists."""
    path = f"{_path(scheduler.namespace)}?labelSelector=app={APP}"
    bodies = [body async for body in api.items(path) if _is_owned(body, scheduler.uid)]
    return sorted(map(_read, bodies), key=lambda revision: revision.number, reverse=True)


async def save_revision(api: Api, scheduler: Scheduler, revisions: Sequence[TickRevision]) -> None:
    """Keep spec.tick as the last good one, and delete those of `revisions` that are older than KEPT.

    `revisions` are all there are, the last one first. Raises what `api.ERRORS` lists.
    """
    number = revisions[0].number + 1 if revisions else 1
    name = f"{APP}-{scheduler.uid[:8]}-{number}-{digest(scheduler.tick_as_written)}"  # an orphan's name may be taken
    body = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": scheduler.namespace,
            "labels": COMMON_LABELS,
            "ownerReferences": [owner_reference(scheduler)],
        },
        "revision": number,
        "data": {"tick": scheduler.tick_as_written},
    }
    try:
        await api.request("POST", _path(scheduler.namespace), body=body)
    except ApiException as error:
        if error.status != HTTPStatus.CONFLICT:  # a first attempt of ours whose answer was lost
            raise
    for old in revisions[KEPT - 1 :]:
        path = f"{_path(scheduler.namespace)}/{old.name}"
        await api.delete(path, uid=old.uid, resource_version=old.resource_version, propagation=Propagation.BACKGROUND)


def _path(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"


def _is_owned(body: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", []))


def _read(body: dict[str, Any]) -> TickRevision:
    meta, data = body["metadata"], body.get("data")
    written = data.get("tick") if isinstance(data, dict) else None
    return TickRevision(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        number=body["revision"],
        written=written if isinstance(written, dict) else None,
    )
