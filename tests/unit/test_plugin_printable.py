"""kubectl_region: a text of an upstream, of a row or of an annotation steers no terminal, whatever command shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from kubectl_region.cluster import CronJob
from kubectl_region.completion import answer as completed
from kubectl_region.errors import PluginError
from kubectl_region.holds import Hold
from kubectl_region.output import printable, warn
from kubectl_region.plans import hold_text
from kubectl_region.status import scheduler_text
from tests.unit.plugin import ConsoleServer, console_server
from tests.unit.plugin_answers import HEAD, overview, plan, region, region_list, region_row, tick, tick_list, tick_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVIL = "\x1b[2J\x07\r\x9b31m\u202eend\n! forged"
SHOWN = r"\x1b[2J\x07\r\x9b31m\u202eend\n! forged"
FIXED = ("apiVersion", "kind", "state", "states", "recent", "window")
"""What the console itself writes, of a few words."""


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        yield server


def hostile(data: Any, key: str = "") -> Any:
    """Put what steers a terminal behind each text that is no time and no word of the console."""
    if isinstance(data, dict):
        return {name: hostile(value, name) for name, value in data.items()}
    if isinstance(data, list):
        return [hostile(value, key) for value in data]
    return data + EVIL if isinstance(data, str) and key not in FIXED and not data.startswith("2026-") else data


CHANGE = {"action": "create", "regionId": "9", "code": "FR-75", "schedule": "5 * * * *", "reason": "new"}
FAILED = tick(
    errorClass="OSError", errorMessage="no route", failedLog={"attempt": 1, "lines": ["info asked", "error finished"]}
)
PAUSE = {"by": "ana", "reason": "moving", "since": "2026-11-29T01:00:00Z", "until": None}
ATTENTION = overview()["attention"]
FORECAST = {
    "tick": {"measured": True, "slotSeconds": 5.0},
    "concurrency": 4,
    "jobsPerSecond": 8.0,
    "minutes": [{"at": "2026-11-30T01:00:00Z", "due": 2, "late": 1, "lost": 0}],
}
ANSWERS = {
    "": overview(attention=[ATTENTION[0] | {"kind": "quarantined"}]),
    "regions": region_list(region_row(why="late")),
    "regions/FR-75": region(why="late", remedy="wait", pause=PAUSE, ticks=[tick_row(errorMessage="HTTP 500")]),
    "regions/FR-75/ticks": tick_list(tick_row(errorMessage="", rerunBy="ana")),
    "regions/FR-75/ticks/2026-11-30T00:05:00Z": FAILED,
    "next": HEAD | {"kind": "NextTicks", "items": [{"code": "FR-75", "regionId": "7", "at": "2026-11-30T01:00:10Z"}]},
    "plan": plan(CHANGE),
    "forecast": HEAD | {"kind": "Forecast", "madeAt": HEAD["now"], "text": "fits", "forecast": FORECAST},
}
COMMANDS = [
    ("status",),
    ("list",),
    ("list", "-o", "wide"),
    ("list", "-o", "name"),
    ("get", "FR-75"),
    ("runs", "FR-75", "-o", "wide"),
    ("why", "FR-75", "2026-11-30T00:05"),
    ("next",),
    ("diff",),
    ("forecast",),
    ("version",),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_passes_on_what_steers_a_terminal(console: ConsoleServer, arguments: tuple[str, ...]) -> None:
    for path, found in ANSWERS.items():
        console.answer(path, hostile(found))
    done = console.run(*arguments)
    assert done.exit_code == (arguments == ("diff",)), done.output
    assert SHOWN.split("\\n")[0] in done.stdout
    assert [line for line in done.stdout.split("\n") if not line.isprintable() or line.startswith("! forged")] == []


def test_what_a_program_reads_is_exact(console: ConsoleServer) -> None:
    found = hostile(ANSWERS["regions/FR-75"])
    console.answer("regions/FR-75", found)
    assert json.loads(console.run("get", "FR-75", "-o", "json").stdout) == found


@pytest.mark.parametrize(
    ("text", "shown"),
    [("FR-75 é 漢", "FR-75 é 漢"), (EVIL, SHOWN), ("a\u2028b\u200f\ud800", r"a\u2028b\u200f\ud800"), ("", "")],
)
def test_what_cannot_be_seen_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_lines_and_none_looks_like_the_plugins_own() -> None:
    assert printable("no route\n  at x\r\nlogs: rm\x1b", lines=True) == "no route\n    at x\n  logs: rm\\x1b"


def test_errors_and_warnings() -> None:
    @click.command()
    def fails() -> None:
        warn("a\x1b[2J\nerror: forged")
        raise PluginError("b\x1b[2J\nwhat to do: forged", "c\x9b\u202e")

    assert CliRunner().invoke(fails).stderr.splitlines() == [
        r"a\x1b[2J",
        "  error: forged",
        r"error: b\x1b[2J",
        "  what to do: forged",
        r"what to do: c\x9b\u202e",
    ]


def test_holds_pauses_and_schedulers() -> None:
    hold = Hold(kind="deletion", since="now", approval="a", regions=("k",), text=EVIL)
    condition = {"type": "Ready", "status": "False", "reason": "X", "message": EVIL}
    scheduler = {"metadata": {"namespace": "ns", "name": "default"}, "status": {"conditions": [condition]}}
    cronjob = CronJob("ns", "name", "code", "key", True, "", {"region-tick.dev/paused-reason": EVIL})
    for text in (*hold_text("ns", hold, {"k": f"A{EVIL}"}), *scheduler_text(scheduler), cronjob.pause):
        assert text.isprintable()


def test_completed_words(console: ConsoleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    console.answer("regions", hostile(region_list(region_row())))
    monkeypatch.setenv("KUBECONFIG", str(console.kubeconfig))
    words = list(completed(["get", "-n", "region-tick", ""]))
    assert (len(words), words[0].replace("\t", " ").isprintable()) == (2, True)
