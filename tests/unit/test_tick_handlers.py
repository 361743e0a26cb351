"""Handlers: their names, what they may return, and poke."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from region_tick.contract import ExitCode
from region_tick.handlers import (
    Handler,
    Outcome,
    PermanentError,
    Region,
    StoppedError,
    Tick,
    UnknownHandlerError,
    Window,
    load,
)
from region_tick.handlers.calling import call
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


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no key')", "cannot be loaded from 'their_odd:crawl': RuntimeError: no key"),
        ("def crawl(tick) return None", "SyntaxError"),
        ("import os; os.environ['NO_SUCH_KEY']", "KeyError: 'NO_SUCH_KEY'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_mistake_of_the_image(source: str, said: str, package: Path) -> None:
    (package / "their_odd.py").write_text(source)
    with pytest.raises(UnknownHandlerError) as caught:
        load("their_odd:crawl")
    assert said in str(caught.value)


def test_one_whose_name_is_taken_by_python_is_told_so(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "queue.py").write_text("def crawl(tick): return None\n")
    monkeypatch.chdir(package)
    with pytest.raises(UnknownHandlerError, match=r"and not your .*queue\.py: give your module another name"):
        load("queue:crawl")


def test_a_handler_may_be_async_def() -> None:
    async def crawl(tick: Tick) -> Outcome:
        return Outcome({"attempt": tick.attempt})

    assert call("crawl", crawl, a_tick()) == Outcome({"attempt": 1})


@pytest.mark.parametrize("result", ["done", 3, [Outcome()]])
def test_a_result_that_is_no_outcome_is_refused(result: Any) -> None:
    with pytest.raises(PermanentError, match="return an Outcome or None"):
        call("crawl", lambda _: result, a_tick())


def test_a_time_outside_of_the_window_is_refused_and_one_inside_is_kept_in_utc() -> None:
    end = a_tick().window.end
    early = (end - timedelta(days=1)).astimezone(timezone(timedelta(hours=2)))
    outcome = call("crawl", lambda _: Outcome(fetched_until=early), a_tick())
    assert outcome.fetched_until == early
    assert outcome.fetched_until is not None
    assert outcome.fetched_until.tzinfo is UTC
    tick = replace(a_tick(), window=Window(start=end - timedelta(hours=1), end=end))
    for until in (early, end + timedelta(seconds=1)):
        with pytest.raises(PermanentError, match="is outside of the tick's window, which goes from 2026-01-05T09:40"):
            call("crawl", returning(Outcome(fetched_until=until)), tick)


@pytest.mark.parametrize(
    ("until", "error"),
    [(datetime(2026, 1, 5), ValueError), ("2026-01-05", TypeError)],  # noqa: DTZ001 - what it is about
)
def test_a_time_without_a_zone_or_no_time_is_refused(until: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"Outcome\.fetched_until .*time zone"):
        Outcome(fetched_until=until)


def test_a_key_is_that_of_all_attempts_and_of_no_other_run() -> None:
    tick = replace(a_tick(), source="public.region_index")
    assert replace(tick, attempt=2).key == tick.key
    others = [
        replace(tick, manual_uid="uid-1"),
        replace(tick, manual_uid="uid-2"),
        replace(tick, source="public.other"),
        replace(tick, tick_at=tick.tick_at + timedelta(minutes=1)),
        replace(tick, region=replace(tick.region, id="2")),
    ]
    assert len({tick.key, *(other.key for other in others)}) == 6
    assert re.fullmatch(r"20260105T1040Z-[0-9a-f]{44}", tick.key)
    assert (tick.manual, others[0].manual) == (False, True)


def test_counts_are_kept_as_whole_numbers() -> None:
    counts = Outcome({"ok": True, "none": False, "three": 3}).counts
    assert json.dumps(counts) == '{"ok": 1, "none": 0, "three": 3}'


@pytest.mark.parametrize("counts", [{"fetched": "3"}, {3: 3}, {"seconds": 1.5}, {"ok": None}])
def test_counts_that_job_run_cannot_keep_are_refused_where_they_are_made(counts: Any) -> None:
    with pytest.raises(TypeError, match=r"Outcome\.counts"):
        Outcome(counts)


@pytest.mark.parametrize("reason", [None, 3])
def test_so_is_a_reason_that_is_no_text(reason: Any) -> None:
    with pytest.raises(TypeError, match=r"Outcome\.reason"):
        Outcome({}, reason)


def returning(result: Any) -> Handler:
    return lambda _: result


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
