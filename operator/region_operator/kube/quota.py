"""Reads, renders and applies the ResourceQuota that caps how many ticks run at once.

No event of the ResourceQuota starts a reconcile, so a change by hand is undone at the next reconcile. A ResourceQuota
of the same name that is not ours is left alone and reported. Only the foreign ResourceQuota then caps ticks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from region_operator.cronjobs.labels import PRIORITY_CLASS, QUOTA_NAME
from region_operator.cronjobs.manifest_parts import COMMON_LABELS, Manifest, ownership, with_digest
from region_operator.cronjobs.ownership import has_digest, in_sync, is_marked
from region_operator.kube.put import culprits, put

if TYPE_CHECKING:
    from region_operator.kube.api import Api
    from region_operator.scheduler import Scheduler

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quota:
    """The ResourceQuota as wanted (`manifest`) and as found (`live`, None if missing)."""

    manifest: Manifest
    live: Manifest | None

    @property
    def taken(self) -> bool:
        """Whether a ResourceQuota that is not ours has the name."""
        return self.live is not None and not is_marked(self.live)

    @property
    def drifted(self) -> bool:
        """Whether the ResourceQuota must be applied."""
        return not self.taken and (self.live is None or not in_sync(self.manifest, self.live))

    @property
    def concurrency(self) -> int:
        """How many ticks may run at once, once the ResourceQuota is applied."""
        return int(self.manifest["spec"]["hard"]["pods"])


async def read_quota(api: Api, scheduler: Scheduler) -> Quota:
    """Render the wanted ResourceQuota and read the existing ResourceQuota. Raises what `api.ERRORS` lists."""
    manifest = render_quota(scheduler)
    return Quota(manifest, await api.get(_path(manifest)))


async def apply_quota(api: Api, quota: Quota) -> None:
    """Apply the ResourceQuota.

    Raises what `api.ERRORS` lists; ApiException 409 if another was made since the look.
    """
    uid = quota.live["metadata"]["uid"] if quota.live else None
    await put(api, _path(quota.manifest), quota.manifest, uid=uid, live=quota.live)
    extra: dict[str, object] = {"concurrency": quota.concurrency}
    if quota.live and has_digest(quota.manifest, quota.live):
        log.info("quota restored", extra=extra | culprits(quota.manifest, quota.live))
    else:
        log.info("quota applied", extra=extra)


def explain_name_conflict(quota: Quota) -> str:
    """Return a message for people: which ResourceQuota is in the way, what follows, and what to do."""
    name = quota.manifest["metadata"]["name"]
    return (
        f'the ResourceQuota "{name}" is not ours, so how many ticks run at once is not capped at {quota.concurrency}:'
        " delete that one"
    )


def render_quota(scheduler: Scheduler) -> Manifest:
    """Return the ResourceQuota that caps how many ticks run at once. Only pods of the tick's PriorityClass count."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {
            "name": QUOTA_NAME,
            "namespace": scheduler.namespace,
            "labels": COMMON_LABELS,
            "annotations": {},
        }
        | ownership(scheduler),
        "spec": {
            "hard": {"pods": str(scheduler.spec.concurrency)},
            "scopeSelector": {
                "matchExpressions": [
                    {"scopeName": "PriorityClass", "operator": "In", "values": [PRIORITY_CLASS]},
                ]
            },
        },
    }
    return with_digest(manifest)


def quota_path(namespace: str) -> str:
    """Return the API server's path of a namespace's ResourceQuota."""
    return f"/api/v1/namespaces/{namespace}/resourcequotas/{QUOTA_NAME}"


def _path(quota: Manifest) -> str:
    return quota_path(quota["metadata"]["namespace"])
