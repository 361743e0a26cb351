"""The console's commands with -A: a namespace whose console is away keeps nobody from reading of the others."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.unit.plugin import ConsoleServer, console_server, status
from tests.unit.plugin_answers import HEAD, overview, plan, region, region_list, region_row, tick, tick_list, tick_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUP = "region-tick.dev/v1alpha1"
AWAY = status(HTTPStatus.NOT_FOUND, "NotFound", 'services "region-tick-console" not found')
AT = "2026-11-30T00:05:00Z"
FORECAST = {
    "concurrency": 4,
    "jobsPerSecond": 8.0,
    "tick": {"measured": True, "slotSeconds": 3.0},
    "minutes": [],
}
PATHS = {
    "": overview(),
    "regions": region_list(region_row()),
    "regions/FR-75": region(ticks=[tick_row(AT)]),
    "regions/FR-75/ticks": tick_list(tick_row(AT)),
    f"regions/FR-75/ticks/{AT}": tick(),
    "next": region_list(region_row(at=AT)),
    "forecast": HEAD | {"madeAt": HEAD["now"], "text": "all start in time", "forecast": FORECAST},
    "plan": plan(),
}
EACH_COMMAND = pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("next",),
        ("next", "FR-75"),
        ("get", "FR-75"),
        ("forecast",),
        ("version",),
        ("runs", "FR-75"),
        ("why", "FR-75"),
        ("why", "FR-75", AT),
        ("diff",),
    ],
    ids=" ".join,
)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    """Start a server with the RegionSchedulers of the namespaces a and b, whose consoles are away so far."""
    kind = {"name": "regionschedulers", "singularName": "regionscheduler", "namespaced": True, "verbs": ["list"]}
    version = {"groupVersion": GROUP, "version": "v1alpha1"}
    group = {"name": "region-tick.dev", "versions": [version], "preferredVersion": version}
    items = [{"apiVersion": GROUP, "kind": "RegionScheduler", "metadata": {"namespace": name}} for name in ("a", "b")]
    with console_server(tmp_path) as server:
        server.answers |= {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
            f"/apis/{GROUP}": {
                "kind": "APIResourceList",
                "groupVersion": GROUP,
                "resources": [kind | {"kind": "RegionScheduler"}],
            },
            f"/apis/{GROUP}/regionschedulers": {"kind": "RegionSchedulerList", "apiVersion": GROUP, "items": items},
        }
        for namespace in ("a", "b"):
            for path in PATHS:
                server.answer(path, AWAY, namespace=namespace)
        yield server


@EACH_COMMAND
def test_a_console_that_is_away_hides_no_other(console: ConsoleServer, words: tuple[str, ...]) -> None:
    for path, answer in PATHS.items():
        console.answer(path, answer, namespace="b")
    done = console.run(*words, "-A", namespace="")
    assert done.exit_code == (2 if words == ("diff",) else 1), done.output
    assert done.stderr.startswith('a: no console answers in namespace a: services "region-tick-console" not found\n')
    assert "what to do: it is not installed there" in done.stderr
    assert done.stdout
    items = json.loads(console.run(*words, "-A", "-o", "json", namespace="").stdout)["items"]
    assert [item["namespace"] for item in items] == ["b"]


@pytest.mark.parametrize("words", [("list",), ("why", "FR-75"), ("diff",)], ids=" ".join)
def test_where_all_consoles_are_away_the_first_says_why(console: ConsoleServer, words: tuple[str, ...]) -> None:
    done = console.run(*words, "-A", namespace="")
    assert done.exit_code == (2 if words == ("diff",) else 1), done.output
    assert "error: no console answers in namespace a" in done.stderr
