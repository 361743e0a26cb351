"""kubectl_region/forecasts.py with the real kubectl: the console's sentence, the worst minutes, and the picture."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from kubectl_region.forecasts import SHOWN_MINUTES
from tests.unit.plugin import ConsoleServer, console_server
from tests.unit.plugin_answers import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        yield server


def answer(*minutes: tuple[int, int]) -> dict[str, Any]:
    """Return a forecast with minutes that have so many late and lost ticks."""
    found = {
        "fits": False,
        "concurrency": 4,
        "jobsPerSecond": 8.0,
        "tick": {"measured": True, "startSeconds": 1.0, "runSeconds": 2.0, "slotSeconds": 3.0},
        "minutes": [
            {"at": f"2026-11-30T01:{number:02}:00Z", "due": 1500, "late": late, "lost": lost}
            for number, (late, lost) in enumerate(minutes)
        ],
    }
    return HEAD | {"kind": "Forecast", "madeAt": HEAD["now"], "text": "90 are lost", "forecast": found}


def test_the_worst_minutes_come_first(console: ConsoleServer) -> None:
    console.answer("forecast", answer((0, 0), (5, 0), (1, 90)))
    done = console.run("forecast")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "90 are lost",
        "spec.concurrency 4, spec.capacity.jobsPerSecond 8, a tick holds its slot for 3 s (measured)",
        "MINUTE                 DUE     LATE   LOST",
        "2026-11-30T01:02:00Z   1,500   1      90",
        "2026-11-30T01:01:00Z   1,500   5      0",
    ]


def test_not_all_minutes_are_shown(console: ConsoleServer) -> None:
    console.answer("forecast", answer(*[(1, 0)] * (SHOWN_MINUTES + 3)))
    assert "and 3 more minutes with late or lost ticks" in console.run("forecast").stdout


@pytest.mark.parametrize(
    ("made_at", "said"),
    [
        ("2026-11-30T00:59:30Z", ""),
        ("2026-11-30T00:52:00.5Z", "as of 2026-11-30T00:52:00Z (7m59s ago)"),
    ],
    ids=["of now", "some minutes old"],
)
def test_an_old_forecast_says_its_age(console: ConsoleServer, made_at: str, said: str) -> None:
    console.answer("forecast", answer() | {"madeAt": made_at})
    lines = console.run("forecast").stdout.splitlines()
    assert lines[2:] == [said] * bool(said)


def test_the_picture(console: ConsoleServer) -> None:
    console.answer("forecast", lambda query: answer() if query["format"] == "json" else "<svg></svg>")
    done = console.run("forecast", "-o", "svg")
    assert (done.stdout, done.stderr) == ("<svg></svg>\n", "")
    assert console.asked[-1][1] == {"format": "svg"}


def test_an_old_picture_says_its_age_beside_it(console: ConsoleServer) -> None:
    old = answer() | {"madeAt": "2026-11-30T00:52:00Z"}
    console.answer("forecast", lambda query: old if query["format"] == "json" else "<svg></svg>")
    done = console.run("forecast", "-o", "svg")
    assert (done.stdout, done.stderr) == ("<svg></svg>\n", "as of 2026-11-30T00:52:00Z (8m ago)\n")


def test_no_picture_has_the_consoles_reason(console: ConsoleServer) -> None:
    """kubectl drops the body of an error, and a picture has no other place for one."""
    error = {"kind": "Error", "reason": "DatabaseUnavailable", "message": "the database is away", "remedy": "look"}
    away = (HTTPStatus.SERVICE_UNAVAILABLE, "<html>")
    console.answer("forecast", lambda query: error if query["format"] == "json" else away)
    done = console.run("forecast", "-o", "svg")
    assert (done.exit_code, done.stderr) == (1, "error: the database is away\nwhat to do: look\n")
