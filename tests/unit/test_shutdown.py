"""runtime/shutdown.py: a separate process that really hangs, and is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import asyncio, signal, socket, time
from region_operator.runtime import shutdown

shutdown.EXIT_LIMIT_SECONDS = GRANTED

async def main():
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, ended.set)  # as kopf does after us
    print("ready", flush=True)
    HANG

with asyncio.Runner(loop_factory=shutdown.ShutdownLoop) as runner:
    runner.run(main())
"""

OPERATOR = """
import time
from region_operator import __main__
from region_operator.runtime import health, shutdown

shutdown.EXIT_LIMIT_SECONDS = 0.5

async def hang(_health):
    print("ready", flush=True)
    time.sleep(60)

health.Health.beat = hang
__main__.main(["run"])
"""

LEFT_BEHIND = """
import asyncio, time
from region_operator import __main__
from region_operator.runtime import health

async def generate():
    try:
        yield
    except GeneratorExit:
        raise RuntimeError("kopf's watch says that it did not stop")

async def leave_behind(_health):
    LEFT
    print("ready", flush=True)
    await asyncio.Event().wait()

health.Health.beat = leave_behind
__main__.main(["run"])
"""


@pytest.mark.parametrize(
    "hang",
    [
        "while True: pass",
        "time.sleep(60)",
        "one, other = socket.socketpair(); one.recv(1)",
        "await asyncio.Event().wait()",
    ],
)
def test_what_hangs_after_it_was_told_to_stop_is_ended_and_shows_where_it_stood(hang: str) -> None:
    code, errors = tell_to_stop(hang)
    assert code == 1
    assert "Timeout" in errors
    assert "in main" in errors or "in run_forever" in errors


def test_what_ends_in_time_ends_as_it_likes() -> None:
    assert tell_to_stop("await ended.wait()", limit=20) == (0, "")


KUBECONFIG = """
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
"""


def test_an_operator_whose_event_loop_hangs_is_ended(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    code, errors = run_until_told_to_stop(OPERATOR, KUBECONFIG=str(kubeconfig), HEALTH_PORT="0", LOG_LEVEL="ERROR")
    assert code == 1
    assert "in hang" in errors


@pytest.mark.parametrize(
    "left",
    [
        "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)  # as a look-up that no DNS server answers",
        "global watch; watch = generate(); await anext(watch)",
    ],
    ids=["a look-up", "a watch"],
)
def test_what_an_operator_leaves_behind_neither_holds_up_its_end_nor_says_anything(tmp_path: Path, left: str) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    program = LEFT_BEHIND.replace("LEFT", left)
    environment = {"KUBECONFIG": str(kubeconfig), "HEALTH_PORT": "0", "LOG_LEVEL": "ERROR"}
    assert run_until_told_to_stop(program, **environment) == (0, "")


def tell_to_stop(hang: str, *, limit: float = 0.5) -> tuple[int, str]:
    return run_until_told_to_stop(PROGRAM.replace("HANG", hang).replace("GRANTED", str(limit)))


def run_until_told_to_stop(program: str, **environment: str) -> tuple[int, str]:
    """Run it until it says that it is ready, send SIGTERM; return its exit code and what it said from then on."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            said = "".join(process.communicate(timeout=60))
        finally:
            process.kill()
    return process.returncode, said
