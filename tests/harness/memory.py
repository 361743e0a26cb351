"""The kernel's own end of a process that wants more memory than it may have, and groups of processes that may not."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HIERARCHY = Path("/sys/fs/cgroup")


def end_for_want_of_memory(pid: int) -> None:
    """Lower a process's limit to what it has, and below, until the kernel kills it.

    Who may not make a cgroup kills it by the same signal.
    """
    group = _new_group()
    if group is None:
        os.kill(pid, signal.SIGKILL)
        return
    (group / "cgroup.procs").write_text(str(pid))
    limit = _limit(group)

    def is_killed() -> bool:
        for much in _less_and_less(int(_usage(group).read_text())):
            with suppress(OSError):  # version 1 refuses a limit that it cannot reclaim
                limit.write_text(str(much))
        return str(pid) not in (group / "cgroup.procs").read_text().split()

    eventually(is_killed, what="the kernel kills it")
    eventually(lambda: _is_removed(group), what="the cgroup is gone")


@contextmanager
def limited(size: int) -> Iterator[Path | None]:
    """Make a cgroup whose processes may have `size` bytes together, and remove it when they have ended.

    Yields the cgroup's folder: a process joins by writing its id to `cgroup.procs`. None for who may not make one.
    """
    group = _new_group()
    if group is None:
        yield None
        return
    _limit(group).write_text(str(size))
    try:
        yield group
    finally:
        eventually(lambda: _is_removed(group), what="the cgroup is gone")


def _limit(group: Path) -> Path:
    return group / ("memory.limit_in_bytes" if group.parent.name == "memory" else "memory.max")


def _new_group() -> Path | None:
    memory = HIERARCHY / "memory"  # version 1
    group = (memory if memory.is_dir() else HIERARCHY) / f"region-tick-test-{secrets.token_hex(4)}"
    with suppress(OSError):
        group.mkdir()
        if _usage(group).exists():
            return group
        group.rmdir()
    return None


def _usage(group: Path) -> Path:
    return group / ("memory.usage_in_bytes" if group.parent.name == "memory" else "memory.current")


def _less_and_less(used: int) -> Iterator[int]:
    for percent in (100, 99, 95, 90):
        yield used * percent // 100


def _is_removed(group: Path) -> bool:
    with suppress(OSError):
        group.rmdir()
    return not group.exists()
