"""Kubernetes Events about regions: one when something begins, none while it lasts."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from region_operator.api import ERRORS, Api
from region_operator.cronjob import FIELD_MANAGER

if TYPE_CHECKING:
    from region_operator.crd import Scheduler

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 1024  # apis/core/validation/events.go, NoteLengthLimit


async def warn(api: Api, scheduler: Scheduler, *, reason: str, message: str) -> None:
    """Post a Warning on the RegionScheduler. An Event that cannot be posted is logged and no more: it is a courtesy."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{scheduler.name}.{uuid4().hex[:16]}", "namespace": scheduler.namespace},
        "involvedObject": scheduler.reference,
        "type": "Warning",
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await api.request("POST", f"/api/v1/namespaces/{scheduler.namespace}/events", body=event)
    except ERRORS as error:
        log.warning("event not posted", extra={"reason": reason, "error": str(error)})
