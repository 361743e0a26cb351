"""kubectl_region/regions.py and console.py with the real kubectl: what `list`, `get` and `next` ask and show."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from region_tick.contract import VERSION
from tests.harness.operator_process import CHECKOUT
from tests.unit.plugin import ConsoleServer, console_server, status
from tests.unit.plugin_answers import HEAD, overview, region, region_list, region_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        yield server


def test_a_list(console: ConsoleServer) -> None:
    paused = region_row("FR-69", state="paused", next=None, lastTick=None, recent=[], written="5 * * * *")
    console.answer("regions", region_list(region_row(), paused))
    done = console.run("list")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "CODE    STATE     SCHEDULE    NEXT    LAST TICK   RESULT      RECENT",
        "FR-75   ticking   H * * * *   in 5m   55m ago     succeeded   .FMs",
        "FR-69   paused    5 * * * *   -       -           -           -",
    ]


def test_a_wide_list_says_why(console: ConsoleServer) -> None:
    console.answer("regions", region_list(region_row(why="paused by ana", lateByIntervals=2.5)))
    lines = console.run("list", "-o", "wide").stdout.splitlines()
    assert lines[0].endswith("RECENT   NAME           LAST SUCCESS   LATE BY   WHY")
    assert lines[1].endswith("Region FR-75   54m ago        2.5x      paused by ana")


def test_names_for_a_pipe_and_all_for_a_program(console: ConsoleServer) -> None:
    console.answer("regions", region_list(region_row(), region_row("FR-69")))
    assert console.run("list", "-o", "name").stdout == "FR-75\nFR-69\n"
    as_json = json.loads(console.run("list", "-o", "json").stdout)
    assert as_json == region_list(region_row(), region_row("FR-69")) | {"total": 2}
    assert yaml.safe_load(console.run("list", "-o", "yaml").stdout) == as_json


def test_a_code_is_whole_in_a_pipe_and_cut_in_a_table(console: ConsoleServer) -> None:
    """A row whose code is too long for a CronJob, or for a screen, is quarantined."""
    code = "FR\\u200b75" * 100
    console.answer("regions", region_list(region_row(code), region_row("FR-69")))
    assert console.run("list", "-o", "name").stdout == f"{code}\nFR-69\n"
    header, *rows = console.run("list", "-o", "wide").stdout.splitlines()
    assert (header.index("STATE"), rows[0].startswith(f"{code[:77]}...   ticking")) == (83, True)
    assert json.loads(console.run("list", "-o", "json").stdout)["items"][0]["code"] == code


def test_no_regions_are_told_on_stderr(console: ConsoleServer) -> None:
    console.answer("regions", region_list())
    done = console.run("list", "--state", "paused", "--code", "FR-*")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "No regions found\n")
    assert console.asked[-1][1] == {"format": "json", "errors": "body", "state": "paused", "code": "FR-*", "page": "1"}
    said = "No regions found; what became of one that is gone: kubectl region get CODE\n"
    assert console.run("list", "--code", "FR-75").stderr == said


def test_all_pages_are_one_list(console: ConsoleServer) -> None:
    console.answer("regions", lambda query: region_list(region_row(f"R{query['page']}"), pages=3))
    assert console.run("list", "-o", "name").stdout == "R1\nR2\nR3\n"
    whole = json.loads(console.run("list", "-o", "json").stdout)
    assert ([row["code"] for row in whole["items"]], whole["page"], whole["pages"]) == (["R1", "R2", "R3"], 1, 1)


def test_a_region_is_described(console: ConsoleServer) -> None:
    pause = {"by": "ana", "reason": "moving house", "since": "2026-11-29T01:00:00Z", "until": None}
    console.answer("regions/FR-75", region(state="paused", why="paused by ana", remedy="resume it", pause=pause))
    done = console.run("get", "FR-75")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "State:             paused" in lines
    assert "Why:               paused by ana" in lines
    assert "What to do:        resume it" in lines
    assert "Schedule:          H * * * * (made 5 * * * *), UTC: at 5 minutes past each hour" in lines
    assert "Paused:            by ana, since 2026-11-29T01:00:00Z, moving house" in lines
    assert "CronJob:           fr-75-0123456789ab; changed by region-operator 24h ago" in lines
    assert "Creators:          10 total, 2 failing, 0 waiting; last error: HTTP 500" in lines
    assert "Row.cron_schedule: H * * * *" in lines
    assert lines[-1].startswith("2026-11-30T00:05:00Z   55m ago   succeeded   ok ")


def test_a_region_that_is_gone_is_described_by_what_is_left(console: ConsoleServer) -> None:
    why, remedy = "no active row of public.region_index has this code now", "it ticks again with an active row"
    gone: dict[str, Any] = dict.fromkeys(("schedule", "next", "cronJob", "creators")) | {"why": why, "remedy": remedy}
    gone |= {"written": "", "words": "", "name": "", "nextTicks": [], "row": {}, "state": "inactive"}
    console.answer("regions/FR-75", region() | gone)
    lines = console.run("get", "FR-75").stdout.splitlines()
    assert lines[:6] == [
        "Code:         FR-75",
        "Id:           id of FR-75",
        "State:        inactive",
        f"Why:          {why}",
        f"What to do:   {remedy}",
        "Last success: 2026-11-30T00:05:10Z (54m ago)",
    ]
    assert lines[-1].startswith("2026-11-30T00:05:00Z   55m ago   succeeded")
    done = console.run("next", "FR-75")
    assert (done.stdout, why in done.stderr) == ("", True)


def test_a_code_is_encoded(console: ConsoleServer) -> None:
    """kubectl decodes a slash, and the console takes that for what it is."""
    unseen = (("FR%E2%80%8B75", "FR\u200b75"), ("FR%5Cu200b75", r"FR\u200b75"), ("a%0Ab%09", "a\nb\t"))
    for path, code in (("FR/75%20x", "FR/75 x"), ("a%3Fb%23c", "a?b#c"), *unseen):
        console.answer(f"regions/{path}", region(code))
        assert console.run("get", code).exit_code == 0


@pytest.mark.parametrize("code", ["", ".", "..", "a/../b", "a//b", "/a", "a/", "./a"])
def test_a_code_that_kubectl_would_take_for_another_path_is_not_asked_for(console: ConsoleServer, code: str) -> None:
    console.answer("regions", region_list(region_row()))
    console.answer("regions/b", region("b"))
    done = console.run("get", code)
    assert done.exit_code == 1
    assert f'error: the region "{code}" cannot be asked for by its code' in done.stderr
    assert "kubectl region list" in done.stderr
    assert console.asked == []


def test_a_code_that_is_no_text_is_no_region(console: ConsoleServer) -> None:
    done = console.run("get", "\udcff")
    assert (done.exit_code, "Traceback" in done.output, console.asked[-1][0][-3:]) == (1, False, "%FF")


def test_a_console_of_another_release_is_named_as_such(console: ConsoleServer) -> None:
    """Releases add fields: an older console does not have them all."""
    old = region()
    del old["creators"]
    console.answer("regions/FR-75", old)
    done = console.run("get", "FR-75")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith('error: the console\'s answer has no "creators"')
    assert "what to do: use one release of both: kubectl region version" in done.stderr
    rows = region_list(region_row(recent=["succeeded", "dreamt"], state="floating", more="than we know"))
    console.answer("regions", rows)
    assert console.run("list").stdout.splitlines()[1].endswith("succeeded   .?")


def test_an_answer_that_is_none_of_the_consoles_is_told(console: ConsoleServer) -> None:
    for text in ("<html>log in</html>", "", "[1]"):
        console.answer("regions", text)
        done = console.run("list")
        assert (done.exit_code, "error: what answered is no console" in done.stderr) == (1, True), done.output


def test_next_ticks(console: ConsoleServer) -> None:
    item = {"code": "FR-75", "regionId": "7", "at": "2026-11-30T01:00:10Z"}
    console.answer("next", HEAD | {"kind": "NextTicks", "items": [item]})
    assert console.run("next").stdout.splitlines()[1] == "FR-75   2026-11-30T01:00:10Z   in 10s"
    console.answer("regions/FR-75", region())
    assert console.run("next", "FR-75").stdout.splitlines()[1:] == [
        "FR-75   2026-11-30T01:05:00Z   in 5m",
        "FR-75   2026-11-30T02:05:00Z   in 65m",
    ]
    console.answer("regions/FR-75", region(nextTicks=[], why="paused by ana"))
    done = console.run("next", "FR-75")
    assert (done.stdout, done.stderr) == ("", "region-tick: paused by ana\n")


FORBIDDEN = 'services "http:region-tick-console:http" is forbidden: User "ana" cannot get resource "services/proxy"'


@pytest.mark.parametrize(
    ("answer", "said", "remedy"),
    [
        (
            status(HTTPStatus.FORBIDDEN, "Forbidden", FORBIDDEN),
            f"you may not ask the console in namespace region-tick: {FORBIDDEN}",
            "--clusterrole=region-tick-view --user=YOU -n region-tick",
        ),
        (
            status(HTTPStatus.NOT_FOUND, "NotFound", 'services "region-tick-console" not found'),
            'no console answers in namespace region-tick: services "region-tick-console" not found',
            "kubectl apply -f manifests/console",
        ),
        (
            status(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", "no endpoints available for service"),
            "no console answers in namespace region-tick: no endpoints available for service",
            "kubectl describe replicasets,pods -n region-tick -l app.kubernetes.io/component=console",
        ),
    ],
    ids=["no right", "not installed", "does not run"],
)
def test_what_is_missing_is_named_with_what_to_apply(
    console: ConsoleServer, answer: Any, said: str, remedy: str
) -> None:
    console.answer("regions", answer)
    done = console.run("list")
    assert done.exit_code == 1
    assert f"error: {said}" in done.stderr
    assert remedy in done.stderr


def test_a_console_that_is_not_ready_is_not_said_to_be_missing(console: ConsoleServer) -> None:
    answer = status(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", "no endpoints available for service")
    console.answer("regions", answer)
    told = console.run("list").stderr
    assert "kubectl get deployment region-tick-console -n region-tick" in told
    assert "kubectl describe replicasets,pods -n region-tick -l app.kubernetes.io/component=console" in told
    assert "kubectl logs -n region-tick deployment/region-tick-console" in told
    assert "database" not in told
    console.answer("regions", status(HTTPStatus.NOT_FOUND, "NotFound", 'services "region-tick-console" not found'))
    assert "describe" not in console.run("list").stderr


def test_a_console_without_its_database_is_ready() -> None:
    """It says so itself. So where no console answers, the plugin sends nobody to the database or the Secret."""
    text = (CHECKOUT / "manifests/console/deployment.yaml").read_text()
    [deployment] = [each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert [volume["secret"]["optional"] for volume in pod["volumes"]] == [True]


def test_an_error_of_the_console_is_passed_on_in_its_words(console: ConsoleServer) -> None:
    error = {"kind": "Error", "reason": "NotFound", "message": "no region FR-7", "remedy": "look in the list"}
    console.answer("regions/FR-7", error)
    done = console.run("get", "FR-7")
    assert (done.exit_code, done.stderr) == (1, "error: no region FR-7\nwhat to do: look in the list\n")


def test_the_plugins_own_version_needs_no_console(console: ConsoleServer) -> None:
    console.answer("", status(HTTPStatus.NOT_FOUND, "NotFound", 'services "region-tick-console" not found'))
    done = console.run("version")
    assert (done.exit_code, done.stdout) == (1, f"plugin: {VERSION}\n")
    assert "it is not installed there" in done.stderr
    console.answer("", overview())
    told = f"plugin: {VERSION}\nconsole: 0.1.0\noperator: 0.1.0\nschemaRevision: 0014\n"
    assert console.run("version").stdout == told


def test_the_context_has_the_namespace(tmp_path: Path) -> None:
    with console_server(tmp_path, namespace="team-a") as console:
        console.answer("regions", region_list(region_row()), namespace="team-a")
        console.answer("regions", region_list(region_row("B")), namespace="b")
        assert console.run("list", "-o", "name", namespace="").stdout == "FR-75\n"
        assert console.run("list", "-o", "name", namespace="b").stdout == "B\n"
        assert (
            console.run("list", "--context", "there", namespace="").stderr == 'error: context "there" does not exist\n'
        )


def test_namespace_and_all_namespaces_contradict_each_other(console: ConsoleServer) -> None:
    done = console.run("list", "-A", namespace="x")
    assert (done.exit_code, "-n and -A contradict each other" in done.stderr) == (1, True)
