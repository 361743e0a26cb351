"""kubectl_region/status.py: one screen, in the words of console and operator, with the real kubectl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kubectl_region.status import overview_text, scheduler_text
from tests.unit.plugin import ConsoleServer, console_server
from tests.unit.plugin_answers import overview

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        yield server


def test_the_ticks_of_all_shards_stand_beside_the_regions_of_one(console: ConsoleServer) -> None:
    answer = overview()
    answer["scheduler"]["shard"] = "0 of 2"
    console.answer("", answer)
    assert "in 24h, of all shards\n" in console.run("status").stdout


def test_a_large_hold_stays_on_one_screen(console: ConsoleServer) -> None:
    answer = overview()
    codes = [f"R{number}" for number in range(300)]
    answer["holds"][0] |= {"count": 310, "regions": codes}
    held = answer["attention"][0] | {"kind": "held", "text": "a deletion is held"}
    answer |= {
        "attention": [*answer["attention"], *({**held, "code": code} for code in codes[:49])],
        "attentionTotal": 311,
    }
    console.answer("", answer)
    lines = console.run("status").stdout.splitlines()
    assert "310 deletions held: " + ", ".join(codes[:20]) + " and 290 more" in lines
    assert [line.partition(":")[0] for line in lines if "held:" in line or "quarantined" in line][-1] == "BAD"
    assert lines[-1] == "and 261 more: kubectl region list -n region-tick"


def test_one_screen(console: ConsoleServer) -> None:
    console.answer("", overview())
    done = console.run("status")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "region-tick/default of public.region_index: Ready=True (InSync), 3 of 3 active regions are scheduled",
        "",
        "Regions:    3 active: 2 ticking, 1 quarantined; 1 late",
        "Ticks:      1,200 succeeded, 3 missed in 24h",
        "            missed, image: 3",
        "Forecast:   the next 24 h have 10 ticks: all start in time",
        "Ledger:     every tick has its row up to 2026-11-30T00:59:00Z (60s ago)",
        "Versions:   console 0.1.0, operator 0.1.0, schema 0014",
        "",
        "EditsUnheard (NoNotifications): why",
        "",
        "2 deletions held: A, B",
        "  deletions held: A, B",
        "  what to do: kubectl region approve deletion -n region-tick",
        "",
        "2 regions need a look",
        "BAD: quarantined 10m ago: day of week 7",
        '  what to do: write "0"',
        "and 1 more: kubectl region list -n region-tick",
    ]


def test_all_is_well(console: ConsoleServer) -> None:
    console.answer("", overview(attention=[], attentionTotal=0, holds=[], conditions=[]))
    assert console.run("status").stdout.splitlines()[-2:] == ["", "No region needs a look"]


def test_a_ledger_that_stands_still_is_said() -> None:
    ledger = {"accountedUntil": "2026-11-29T20:00:00Z", "lagSeconds": 18_000.0, "standstill": "no operator runs"}
    assert "            no operator runs" in list(overview_text("region-tick", overview(ledger=ledger)))
    del ledger["standstill"]  # as a console of an older release answers
    assert "            no operator runs" not in list(overview_text("region-tick", overview(ledger=ledger)))


def test_all_for_a_program(console: ConsoleServer) -> None:
    console.answer("", overview())
    assert json.loads(console.run("status", "-o", "json").stdout) == overview()


def test_without_the_database_the_console_is_not_all_that_is_asked(console: ConsoleServer) -> None:
    error = {"kind": "Error", "reason": "DatabaseUnavailable", "message": "it is away", "remedy": "bring it back"}
    console.answer("", error)
    told = console.run("status").stderr.splitlines()
    assert told[:2] == ["without the console: it is away", "what to do: bring it back"]
    assert any(path.endswith("/regionschedulers/default") or "/apis" in path for path, _ in console.asked)


def test_a_regionscheduler_alone_tells_what_it_can() -> None:
    held = {"since": "2026-11-30T00:00:00Z", "approval": "aaa", "regions": "k1 k2"}
    ready = {"type": "Ready", "status": "False", "reason": "DatabaseUnavailable", "message": "the database is away"}
    conditions = [ready, {"type": "DeletionsHeld", "message": "deletions held: A, B", "reason": "TooMany"}]
    status = {"regions": {"active": 3, "scheduled": 2}, "conditions": conditions, "heldDeletions": held}
    scheduler = {"metadata": {"namespace": "ns", "name": "default"}, "status": status}
    assert "\n".join(scheduler_text(scheduler)).splitlines() == [
        "ns/default: Ready=False (DatabaseUnavailable), the database is away",
        "",
        "Regions:    3 active, 2 scheduled",
        "",
        "deletions held: A, B",
        "  what to do: kubectl region approve deletion -n ns",
    ]
    [line] = scheduler_text({"metadata": scheduler["metadata"]})
    assert line == "ns/default: no operator has looked at it yet"
