"""Makes Jobs of ticks as the API server has them, and quotas, for the tests of the nudges."""

from __future__ import annotations

from typing import Any

from region_operator.cronjobs.job import Job

MINUTE = 29_925_017
BEGAN = MINUTE * 60.0
START_DEADLINE = 20
_ENVIRONMENT: list[dict[str, Any]] = [
    {"name": "JOB_NAME", "valueFrom": {}},
    {"name": "TICK_START_DEADLINE_SECONDS", "value": "20"},
]


def job(
    name: str = f"r1-{MINUTE}",
    *,
    deleted: bool = False,
    ttl: int | None = None,
    environment: list[dict[str, Any]] = _ENVIRONMENT,
    **status: Any,
) -> Job:
    """Return a Job whose first pod the quota refused, changed by `status`."""
    meta = {"name": name, "uid": f"uid of {name}", "resourceVersion": "1", "creationTimestamp": "2026-11-24T06:17:00Z"}
    if deleted:
        meta["deletionTimestamp"] = "2026-11-24T06:17:30Z"
    status = {"startTime": "2026-11-24T06:17:00Z"} | status
    template = {"spec": {"containers": [{"name": "tick", "env": environment}]}}
    return Job.from_object(
        {
            "metadata": meta,
            "spec": {"template": template} | ({} if ttl is None else {"ttlSecondsAfterFinished": ttl}),
            "status": {key: value for key, value in status.items() if value is not None},
        }
    )


def quota(*, hard: int, used: int, name: str = "region-tick") -> dict[str, Any]:
    """Return a ResourceQuota that counts pods."""
    return {"metadata": {"name": name}, "status": {"hard": {"pods": str(hard)}, "used": {"pods": str(used)}}}
