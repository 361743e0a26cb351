"""What a tick pays at each start: nothing of the operator's libraries, and SIGTERM is heard before the imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from region_tick import __main__
from region_tick.contract import ExitCode

TICK_IMAGE = Path(__main__.__file__).parents[1]
FOREIGN = {
    "sqlalchemy",
    "pydantic",
    "kubernetes",
    "kopf",
    "click",
    "rich",
    "aiohttp",
    "alembic",
    "lxml",
    "urllib3",
    "procrastinate",
    "psycopg_pool",
    "region_operator",
    "region_worker",
}


def test_a_tick_imports_none_of_the_operators_libraries() -> None:
    modules = "region_tick.__main__, region_tick.run, region_tick.handlers.poke, region_tick.handlers.enqueue"
    code = f"import {modules}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=_environment(), capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "psycopg" in loaded
    assert not loaded & FOREIGN


def test_a_tick_pays_for_log_lines_if_it_keeps_them_and_for_redaction_if_it_fails() -> None:
    start = "import region_tick.__main__, region_tick.run, sys; print(*sys.modules)"
    code = f"{start}; import region_tick.log_tail; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=_environment(), capture_output=True, text=True, check=True, timeout=60
    )
    loaded, with_lines = (set(line.split()) for line in done.stdout.splitlines())
    assert "region_tick.fence" in loaded
    assert not loaded & {"region_tick.log_tail", "region_tick.excerpts"}
    assert not with_lines & {"region_tick.redact", "region_tick.secret_spans"}


def test_sigterm_during_the_imports_ends_the_tick_at_once(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("import signal\nprint('importing', flush=True)\nwhile True: signal.pause()\n")
    with subprocess.Popen(
        [sys.executable, "-m", "region_tick"], env=_environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == ExitCode.AGAIN


def test_a_missing_variable_is_one_line_and_a_permanent_exit() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "region_tick"],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ExitCode.CONFIGURATION
    assert len(done.stdout.splitlines()) == 1
    assert "JOB_NAME is missing" in done.stdout
    assert done.stderr == ""


def _environment(*folders: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(str(folder) for folder in (*folders, TICK_IMAGE))}
