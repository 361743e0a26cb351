"""Handlers: their names, what they may return, and poke."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import ExitCode
from region_tick.handlers import Outcome, Region, StoppedError, Tick, UnknownHandlerError, Window, load
from region_tick.handlers.poke import poke

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path that registers an entry point, as an installed package does."""
    (tmp_path / "their_handlers.py").write_text("def crawl(tick): return None\nNOT_CALLABLE = 3\n")
    (tmp_path / "their_broken.py").write_text("import no_such_module_anywhere\n")
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[region_tick.handlers]\ncrawl = their_handlers:crawl\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_handlers", raising=False)
    return tmp_path


def test_a_built_in_is_found_without_looking_at_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> list[EntryPoint]:
        raise AssertionError("entry points were scanned")

    monkeypatch.setattr("importlib.metadata.entry_points", refused)
    assert load("poke") is poke


@pytest.mark.parametrize("name", ["their_handlers:crawl", "crawl"])
@pytest.mark.usefixtures("package")
def test_a_users_handler_is_found_by_module_and_function_or_by_its_entry_point(name: str) -> None:
    assert load(name).__module__ == "their_handlers"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crwal", "handler 'crwal' does not exist"),
        ("no_such_module:crawl", "No module named 'no_such_module'"),
        ("their_handlers:crwal", "no attribute 'crwal'"),
        ("their_handlers:", "cannot be called"),
        (":crawl", "cannot be loaded"),
        (".their_handlers:crawl", "cannot be loaded"),
        ("their_handlers:NOT_CALLABLE", "cannot be called"),
        ("their_broken:crawl", "no_such_module_anywhere"),
    ],
)
@pytest.mark.usefixtures("package")
def test_an_unknown_handler_is_told_which_there_are(name: str, said: str) -> None:
    with pytest.raises(UnknownHandlerError) as caught:
        load(name)
    assert said in str(caught.value)
    assert "write one of crawl, enqueue, poke, poll, or module:function" in str(caught.value)
    assert caught.value.exit_code is ExitCode.CONFIGURATION


@pytest.mark.parametrize("counts", [{"fetched": "3"}, {3: 3}, {"seconds": 1.5}])
def test_counts_that_job_run_cannot_keep_are_refused_where_they_are_made(counts: Any) -> None:
    with pytest.raises(TypeError, match=r"Outcome\.counts"):
        Outcome(counts)


@pytest.mark.parametrize("reason", [None, 3])
def test_so_is_a_reason_that_is_no_text(reason: Any) -> None:
    with pytest.raises(TypeError, match=r"Outcome\.reason"):
        Outcome({}, reason)


def a_tick(*, deadline: float = 0.0) -> Tick:
    def none(*_: object) -> Any:
        raise AssertionError("a test that needs the database stands in tests/database")

    return Tick(
        region=Region(id="1", code="ch-zrh", name="Zürich", bbox=None),
        cron="*/5 * * * *",
        tick_at=datetime(2026, 1, 5, 10, 40, tzinfo=UTC),
        window=Window(start=None, end=datetime(2026, 1, 5, 10, 40, tzinfo=UTC)),
        attempt=1,
        deadline=deadline,
        stopping=Event(),
        connection=None,  # type: ignore[arg-type]
        transaction=none,
        finish=none,
        log=logging.getLogger("test"),
    )


def test_a_tick_that_shall_stop_says_so() -> None:
    tick = a_tick()
    tick.check()
    tick.stopping.set()
    with pytest.raises(StoppedError):
        tick.check()
    with pytest.raises(StoppedError):
        poke(tick)


def test_remaining_is_never_negative() -> None:
    assert a_tick(deadline=time.monotonic() - 5).remaining() == 0.0
    assert 0.0 < a_tick(deadline=time.monotonic() + 100).remaining() <= 100.0


def test_poke_pays_for_no_module_of_poll() -> None:
    program = (
        "import sys; from region_tick import run; from region_tick.handlers import load; load('poke');"
        "print(*sorted({'urllib3', 'xml', 'ipaddress', 'region_tick.fetch'} & set(sys.modules)));"
        "load('poll'); print('urllib3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "True"
    assert set(done.stdout.splitlines()[0].split()) <= {"ipaddress"}  # psycopg imports that one
