"""A tick that reads four of the worst documents at a time lives within its pod's default memory.

Where the test may make a cgroup, the kernel ends a tick that wants more, as in a pod. The peak is judged anyway.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from region_tick.adapters.feed_entries import ENTRIES_LIMIT
from region_tick.contract import ExitCode, Variable
from tests.database.polls import Polls, polls
from tests.database.tick_process import Process
from tests.harness.long import LONG
from tests.harness.memory import limited
from tests.harness.upstream import replying, upstream
from tests.unit.test_adapter_hostile import LARGE, SIZE, VERSION

__all__ = ["polls"]  # a fixture

if TYPE_CHECKING:
    from tests.database.tick_process import Ticks

POD_BYTES = 128 * 2**20
DRIVER = """
import os, pathlib, runpy, sys
if group := sys.argv.pop():
    pathlib.Path(group).write_text(str(os.getpid()))
try:
    runpy.run_module("region_tick", run_name="__main__")
finally:
    peak = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    pathlib.Path("peak").write_text(peak)
"""
TEXT_BYTES = SIZE // ENTRIES_LIMIT - 60


WIDE = "\N{ROCKET}" + "x" * (TEXT_BYTES - 30)


def entries(text: str) -> bytes:
    """As many entries as are read of a document, each with this text and a number in it."""
    inner = (f"<item>{text.format(number)}</item>" for number in range(ENTRIES_LIMIT))
    return f"<rss><channel>{''.join(inner)}</channel></rss>".encode()


DOCUMENTS = {
    **LARGE,
    "descriptions": lambda: entries(f"<guid>{{}}</guid><description>{'x' * (TEXT_BYTES - 30)}</description>"),
    "descriptions with a wide character": lambda: entries(f"<guid>{{}}</guid><description>{WIDE}</description>"),
    "ids with a wide character": lambda: entries(f"<guid>{{}}{WIDE}</guid>"),
    "links with a wide character": lambda: entries(f"<link>https://a.test/{{}}{WIDE}</link>"),
    "JSON with a wide character": lambda: VERSION + f'{{"id":"1","content_text":"{WIDE * 200}"}}]}}'.encode(),
    "titles and authors with a wide character": lambda: entries(
        f"<guid>{{}}</guid><title>{WIDE[:2000]}</title><author>{WIDE[:2000]}</author>"
    ),
}
"""Python gives each character of a text the room of the widest one: one rocket makes a text four times as large."""


@pytest.mark.long
@pytest.mark.parametrize("name", DOCUMENTS if LONG else [name for name in DOCUMENTS if "wide" in name])
@pytest.mark.timeout(300)
def test_four_of_the_worst_documents_at_a_time_fit_into_a_pod(name: str, polls: Polls, ticks: Ticks) -> None:
    document = DOCUMENTS[name]()[:SIZE]
    with ExitStack() as stack:
        for number in range(2, 6):
            server = stack.enter_context(upstream(address=f"127.0.0.{number}"))
            polls.add(server.on("/", replying(200, document)))
        group = stack.enter_context(limited(POD_BYTES))
        process = start(ticks, polls, str(group / "cgroup.procs") if group else "")
        code = process.exit_code()
    peak = int((ticks.folder / "peak").read_text()) if code == ExitCode.FINAL else 0
    print(f"\n{name}: exit code {code}, peak {peak / 1024:.0f} MiB")
    assert code == ExitCode.FINAL, process.lines[-3:]
    assert peak * 1024 < POD_BYTES


def start(ticks: Ticks, polls: Polls, procs: str) -> Process:
    environment = polls.environment({Variable.TIMEOUT_SECONDS: "120"})
    ticks.processes.append(Process(ticks.folder, environment, "-c", DRIVER, procs))
    return ticks.processes[-1]
