"""Answers of the console, as the plugin gets them."""

from __future__ import annotations

from typing import Any

NOW = "2026-11-30T01:00:00Z"
HEAD = {"apiVersion": "console.region-tick.dev/v1", "now": NOW}


def region_row(code: str = "FR-75", **changes: Any) -> dict[str, Any]:
    """Return a region of a list."""
    row: dict[str, Any] = {
        "code": code,
        "regionId": f"id of {code}",
        "name": f"Region {code}",
        "schedule": "5 * * * *",
        "written": "H * * * *",
        "active": True,
        "state": "ticking",
        "troubles": [],
        "next": "2026-11-30T01:05:00Z",
        "lastTick": {"tickAt": "2026-11-30T00:05:00Z", "state": "succeeded", "reason": "ok"},
        "lastSuccess": "2026-11-30T00:05:10Z",
        "lateByIntervals": 0.0,
        "recent": ["succeeded", "failed", "missed", "skipped"],
        "why": None,
    }
    return row | changes


def tick_row(tick_at: str = "2026-11-30T00:05:00Z", **changes: Any) -> dict[str, Any]:
    """Return a tick of a list."""
    row: dict[str, Any] = {
        "tickAt": tick_at,
        "manualUid": "",
        "state": "succeeded",
        "reason": "ok",
        "attempt": 1,
        "startedAt": "2026-11-30T00:05:02Z",
        "finishedAt": "2026-11-30T00:05:10Z",
        "durationSeconds": 8.0,
        "startDelaySeconds": 2.0,
        "handler": "poll",
        "jobName": "fr-75-0123456789ab-29402645",
        "pod": "pod-1",
        "node": "node-1",
        "exitCode": 0,
        "counts": None,
        "errorClass": None,
        "errorMessage": None,
        "windowStart": None,
        "windowEnd": None,
        "rerunBy": None,
    }
    return row | changes


def region(code: str = "FR-75", **changes: Any) -> dict[str, Any]:
    """Return all about one region."""
    more: dict[str, Any] = {
        "kind": "Region",
        "row": {"id": f"id of {code}", "cron_schedule": "H * * * *", "params": None},
        "words": "at 5 minutes past each hour",
        "nextTicks": ["2026-11-30T01:05:00Z", "2026-11-30T02:05:00Z"],
        "ticks": [tick_row()],
        "creators": {"total": 10, "failing": 2, "waiting": 0, "lastError": "HTTP 500"},
        "tasks": None,
        "cronJob": {
            "name": "fr-75-0123456789ab",
            "uid": "u",
            "suspended": False,
            "suspendedBy": None,
            "changedBy": [{"manager": "region-operator", "time": "2026-11-29T01:00:00Z"}],
        },
        "pause": None,
        "remedy": None,
    }
    return HEAD | region_row(code) | more | changes


def region_list(*rows: dict[str, Any], page: int = 1, pages: int = 1) -> dict[str, Any]:
    """Return a page of regions."""
    return HEAD | {"kind": "RegionList", "items": list(rows), "page": page, "pages": pages, "total": len(rows)}


def tick_list(*ticks: dict[str, Any], older: str | None = None) -> dict[str, Any]:
    """Return a page of ticks."""
    return (
        HEAD
        | {"kind": "TickList", "code": "FR-75", "regionId": "id", "items": list(ticks), "next": older}
        | {
            "countedUntil": "2026-11-30T00:57:00Z",
            "gone": None,
        }
    )


def tick(**changes: Any) -> dict[str, Any]:
    """Return a tick that was missed, and why."""
    missed: dict[str, Any] = {
        "state": "missed",
        "reason": "image",
        "startedAt": None,
        "finishedAt": None,
        "durationSeconds": None,
        "exitCode": None,
    }
    more = {
        "kind": "Tick",
        "code": "FR-75",
        "regionId": "id of FR-75",
        "chain": [
            {"at": "2026-11-30T00:05:00Z", "source": "schedule", "text": "expected by 5 * * * *", "ok": True},
            {"at": None, "source": "pod", "text": "ImagePullBackOff", "ok": False},
        ],
        "summary": "The tick image could not be pulled.",
        "remedy": "push the image",
        "logs": "kubectl logs job/fr-75-0123456789ab-29402645",
        "failedLog": None,
    }
    return HEAD | tick_row(**missed) | more | changes


def plan(*changes: dict[str, Any], quota: int | None = None) -> dict[str, Any]:
    """Return what the operator would do."""
    quarantined = [{"regionId": "7", "code": "BAD", "reason": "day of week 7"}]
    found = {
        "changes": list(changes),
        "unchanged": 48,
        "quota": quota,
        "quarantined": quarantined,
        "notes": ["deletions would be held"],
        "forecast": {"fits": True, "due": 10, "late": 0, "lost": 0},
    }
    return HEAD | {"kind": "Plan", "madeAt": NOW, "plan": found, "holds": []}


def overview(**changes: Any) -> dict[str, Any]:
    """Return the overview of an installation with one thing of each kind that can be wrong."""
    counts = dict.fromkeys(("paused", "suspended", "quarantined", "held", "pending", "failing", "missed", "late"), 0)
    found: dict[str, Any] = {
        "kind": "Overview",
        "scheduler": {
            "namespace": "region-tick",
            "name": "default",
            "table": "public.region_index",
            "suspended": False,
        },
        "ready": {"status": "True", "reason": "InSync", "message": "3 of 3 active regions are scheduled"},
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "InSync", "message": "3 of 3", "since": NOW},
            {"type": "EditsUnheard", "status": "True", "reason": "NoNotifications", "message": "why", "since": NOW},
        ],
        "regions": counts | {"active": 3, "ticking": 2, "quarantined": 1, "late": 1},
        "ticks": {
            "window": "24h",
            "byState": {"succeeded": 1200, "missed": 3, "failed": 0},
            "byReason": [{"state": "missed", "reason": "image", "ticks": 3}],
        },
        "attention": [
            {
                "code": "BAD",
                "regionId": "7",
                "kind": "quarantined",
                "text": "day of week 7",
                "since": "2026-11-30T00:50:00Z",
                "remedy": 'write "0"',
            }
        ],
        "attentionTotal": 2,
        "forecast": {"fits": True, "text": "the next 24 h have 10 ticks: all start in time"},
        "ledger": {"accountedUntil": "2026-11-30T00:59:00Z", "lagSeconds": 60.0, "standstill": None},
        "holds": [
            {
                "kind": "deletion",
                "count": 2,
                "approval": "abc",
                "command": "kubectl annotate",
                "text": "deletions held: A, B",
                "regions": ["A", "B"],
            }
        ],
        "versions": {"console": "0.1.0", "operator": "0.1.0", "schemaRevision": "0014"},
    }
    return HEAD | found | changes
