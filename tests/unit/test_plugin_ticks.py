"""kubectl_region/ticks.py with the real kubectl: what `runs` and `why` ask and show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.plugin import ConsoleServer, console_server
from tests.unit.plugin_answers import region, tick, tick_list, tick_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        yield server


def test_the_ticks_of_a_region(console: ConsoleServer) -> None:
    failed = tick_row("2026-11-29T23:05:00Z", state="failed", reason="error", attempt=3, errorMessage="HTTP 500\nmore")
    manual = tick_row("2026-11-29T22:07:00Z", manualUid="u", startDelaySeconds=None, rerunBy=None)
    again = tick_row("2026-11-29T22:05:00Z", rerunBy="ana", durationSeconds=130.0)
    console.answer("regions/FR-75/ticks", tick_list(failed, manual, again))
    done = console.run("runs", "FR-75", "--state", "failed,missed", "--reason", "error")
    assert done.exit_code == 0, done.stderr
    header, *lines = (line.split("   ") for line in done.stdout.splitlines())
    assert header[0] == "TICK"
    assert [cell.strip() for cell in lines[0] if cell] == [
        *("2026-11-29T23:05:00Z", "115m ago", "failed", "error", "3", "2.0s", "8.0s", "HTTP 500"),
    ]
    assert lines[1][0] == "2026-11-29T22:07:00Z by hand"
    assert lines[2][0] == "2026-11-29T22:05:00Z again"
    assert console.asked[-1][1] == {
        "format": "json",
        "errors": "body",
        "state": "failed,missed",
        "reason": "error",
        "limit": "50",
    }


def test_older_ticks_are_asked_for_up_to_the_limit(console: ConsoleServer) -> None:
    def page(query: dict[str, str]) -> dict[str, Any]:
        return tick_list(tick_row("2026-11-30T00:00:00Z" if "before" in query else "2026-11-30T00:05:00Z"), older="c")

    console.answer("regions/FR-75/ticks", page)
    done = console.run("runs", "FR-75", "--limit", "2", "-o", "json")
    assert [item["tickAt"] for item in json.loads(done.stdout)["items"]] == [
        "2026-11-30T00:05:00Z",
        "2026-11-30T00:00:00Z",
    ]
    assert [query["limit"] for _, query in console.asked] == ["2", "1"]
    console.answer("regions/FR-75/ticks", tick_list(tick_row(), older="c2"))
    assert console.run("runs", "FR-75", "--limit", "1").stderr == "There are older ticks: --limit shows more than 1\n"


def test_the_ticks_of_a_region_that_is_gone_come_with_a_word_that_it_is_gone(console: ConsoleServer) -> None:
    console.answer("regions/FR-75/ticks", tick_list(tick_row()) | {"gone": "no active row\u202e has this code now"})
    done = console.run("runs", "FR-75")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)
    assert done.stderr == "no active row\\u202e has this code now\n"
    older = {key: value for key, value in tick_list(tick_row()).items() if key not in ("gone", "countedUntil")}
    console.answer("regions/FR-75/ticks", older)
    assert console.run("runs", "FR-75").stderr == ""


def test_since_is_a_moment(console: ConsoleServer) -> None:
    console.answer("regions/FR-75/ticks", tick_list())
    done = console.run("runs", "FR-75", "--since", "2026-11-29")
    assert (done.stderr, console.asked[-1][1]["since"]) == ("No ticks found\n", "2026-11-29T00:00:00Z")
    done = console.run("runs", "FR-75", "--since", "soon")
    assert (done.exit_code, '"soon" is no time such as' in done.stderr) == (1, True)


def test_why_of_a_tick_in_the_words_of_the_console(console: ConsoleServer) -> None:
    console.answer("regions/FR-75", region(why="late", remedy="see its ticks"))
    console.answer("regions/FR-75/ticks/2026-11-30T00:05:00Z", tick(errorClass="OSError", errorMessage="no route"))
    done = console.run("why", "FR-75", "2026-11-30T00:05")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "FR-75 2026-11-30T00:05:00Z: missed (image), attempt 1",
        "  The tick image could not be pulled.",
        "  what to do: push the image",
        "",
        "  2026-11-30T00:05:00Z  schedule  expected by 5 * * * *",
        "! -                     pod       ImagePullBackOff",
        "",
        "OSError: no route",
        "",
        "logs: kubectl logs job/fr-75-0123456789ab-29402645",
        "",
        "the region is ticking now: late",
        "  what to do: see its ticks",
    ]


def test_why_shows_what_a_failed_attempt_left_of_its_log(console: ConsoleServer) -> None:
    console.answer("regions/FR-75", region())
    left = {"attempt": 1, "lines": ["2026-11-30T00:05:01.000Z info asked page=3", "    OSError: no route"]}
    succeeded = tick(state="succeeded", reason="ok", attempt=2, failedLog=left, logs=None)
    console.answer("regions/FR-75/ticks/2026-11-30T00:05:00Z", succeeded)
    assert console.run("why", "FR-75", "2026-11-30T00:05").stdout.splitlines()[-3:] == [
        "last log lines of attempt 1, which failed:",
        "  2026-11-30T00:05:01.000Z info asked page=3",
        "      OSError: no route",
    ]


@pytest.mark.parametrize(
    ("ticks", "asked"),
    [
        ([tick_row("C"), tick_row("B", state="missed"), tick_row("A", state="failed")], "B"),
        ([tick_row("C"), tick_row("B")], "C"),
    ],
    ids=["the last that did not succeed", "the last"],
)
def test_why_without_a_tick(console: ConsoleServer, ticks: list[dict[str, Any]], asked: str) -> None:
    console.answer("regions/FR-75", region(ticks=ticks))
    console.answer(f"regions/FR-75/ticks/{asked}", tick())
    assert console.run("why", "FR-75").exit_code == 0


def test_why_of_a_manual_run_names_its_job(console: ConsoleServer) -> None:
    console.answer("regions/FR-75", region(ticks=[tick_row("A", state="failed", manualUid="u-1")]))
    console.answer("regions/FR-75/ticks/A", tick())
    assert console.run("why", "FR-75").exit_code == 0
    assert console.asked[-1][1] == {"format": "json", "errors": "body", "manual": "u-1"}


def test_why_of_a_manual_run_needs_its_tick_too(console: ConsoleServer) -> None:
    """The list has both. Without the tick, another one would be explained."""
    console.answer("regions/FR-75", region(ticks=[tick_row("A"), tick_row("B", manualUid="u-1")]))
    console.answer("regions/FR-75/ticks/A", tick())
    done = console.run("why", "FR-75", "--manual", "u-1")
    assert done.exit_code != 0
    assert "--manual needs TICK: kubectl region runs FR-75 -o wide" in done.stderr
    console.answer("regions/FR-75/ticks", tick_list(tick_row(manualUid="u-1")))
    lines = console.run("runs", "FR-75", "-o", "wide").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["MANUAL", "u-1"]


def test_why_of_a_region_that_never_ticked(console: ConsoleServer) -> None:
    console.answer("regions/FR-75", region(ticks=[], why="it has no CronJob yet", remedy="wait"))
    done = console.run("why", "FR-75")
    assert done.exit_code == 1
    expected = "error: region FR-75 has no ticks on record: it has no CronJob yet\nwhat to do: wait\n"
    assert done.stderr == expected
