"""Processes that end when told, when they must, and with their supervisor."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devcluster.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).resolve().parents[2]
_STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def runs(pid: int) -> bool:
    """One that waits for init to bury it does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and ") Z " not in status.read_text()


def has_become_its_own(pid: int) -> bool:
    """Tell whether setpriv has told the kernel and made way for the program. Amid an exec there is no command line."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return bool(command) and b"setpriv" not in command


def log_of(folder: Path) -> str:
    return (folder / "one.log").read_text()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110 - another process does it, and tells nobody
            await asyncio.sleep(0.02)


async def test_stop_ends_a_process_that_listens(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = await processes.start("one", ["sleep", "60"])
    await processes.stop("one", seconds=30)
    assert not runs(pid)


async def test_stop_kills_a_process_that_does_not(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = await processes.start("one", ["sh", "-c", _STUBBORN])
    await until(lambda: "ready" in log_of(tmp_path))
    await processes.stop("one", seconds=0.1)
    assert not runs(pid)


async def test_kill_asks_nobody(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    pid = await processes.start("one", ["sh", "-c", _STUBBORN])
    await processes.kill("one")
    assert not runs(pid)
    await processes.kill("one")


async def test_stop_is_harmless_for_what_does_not_run(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    await processes.stop("never")
    await processes.start("one", ["true"])
    await processes.stop("one")
    await processes.stop("one")


async def test_first_end_says_who_and_how_and_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    await processes.start("good", ["sleep", "60"])
    await processes.start("bad", ["sh", "-c", "echo no port left >&2; exit 3"])
    async with asyncio.timeout(60):
        assert await processes.first_end() == "bad ended with code 3, after it said:\nno port left"
    await processes.stop("good")


@pytest.mark.parametrize("shell", ["sleep 60", _STUBBORN])
def test_a_killed_supervisor_takes_its_processes_with_it(tmp_path: Path, shell: str) -> None:
    supervisor = (
        "import asyncio, pathlib, sys\n"
        "from devcluster.processes import Processes\n"
        "async def main():\n"
        "    pid = await Processes(pathlib.Path(sys.argv[1])).start('one', ['sh', '-c', sys.argv[2]])\n"
        "    print(pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", supervisor, str(tmp_path), shell]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        asyncio.run(until(lambda: has_become_its_own(child)))
        process.kill()
    asyncio.run(until(lambda: not runs(child)))
