"""Makes Jobs of ticks as the API server's objects, for the tests of the nudges."""

from __future__ import annotations

from typing import Any

MINUTE = 29_925_017
BEGAN = MINUTE * 60.0
START_DEADLINE = 20
_ENVIRONMENT = [{"name": "JOB_NAME", "valueFrom": {}}, {"name": "TICK_START_DEADLINE_SECONDS", "value": "20"}]


def job(name: str = f"r1-{MINUTE}", *, deleted: bool = False, **status: Any) -> dict[str, Any]:
    """Return a Job whose first pod the quota refused, changed by `status`."""
    going = {"deletionTimestamp": "2026-11-24T06:17:30Z"} if deleted else {}
    status = {"startTime": "2026-11-24T06:17:00Z"} | status
    return {
        "metadata": {"name": name, "uid": f"uid of {name}"} | going,
        "spec": {"template": {"spec": {"containers": [{"name": "tick", "env": _ENVIRONMENT}]}}},
        "status": {key: value for key, value in status.items() if value is not None},
    }


def quota(*, hard: int, used: int, name: str = "region-tick") -> dict[str, Any]:
    """Return a ResourceQuota that counts pods."""
    return {"metadata": {"name": name}, "status": {"hard": {"pods": str(hard)}, "used": {"pods": str(used)}}}
