"""The pods of ticks, as processes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness.waiting import eventually

if TYPE_CHECKING:
    import psycopg


def pods_at_work(connection: psycopg.Connection[Any], count: int = 1) -> list[str]:
    """Return the pods that have a claim, once there are so many."""
    statement = "SELECT pod FROM region_tick.job_run WHERE state = 'running'"

    def claimed() -> list[str] | None:
        pods = [pod for (pod,) in connection.execute(statement)]
        return pods if len(pods) == count else None

    return eventually(claimed, what=f"{count} pods have a claim", seconds=60)


def tick_process(pod: str) -> int:
    """Return the pid, on this machine, of a pod's tick."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if f"POD_NAME={pod}".encode() in environment.split(b"\0") and b"region_tick" in command:
                return int(folder.name)
    raise AssertionError(f"no process of pod {pod}")
