"""kubectl_region/pauses.py: what is refused, asked and told. With a real API server: tests/cluster/test_plugin.py."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from kubectl_region import cluster, pauses
from kubectl_region.commands import group
from tests.unit.plugin import write_kubectl

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "R1"), "Missing option '--reason'"),
        (("pause", "R1", "--reason", " "), 'the reason " " says nothing'),
        (("pause", "R1", "--reason", "..."), 'the reason "..." says nothing'),
        (("pause", "--reason", "x"), "give codes, --all-matching with a glob, or --all"),
        (("pause", "R1", "--all-matching", "*", "--reason", "x"), "give codes, --all-matching with a glob, or --all"),
        (("pause", "R1", "--reason", "x", "--until", "2020-01-01"), "--until: 2020-01-01T00:00:00Z is past"),
        (("pause", "R1", "--reason", "x", "--until", "soon"), '--until: "soon" is no time such as'),
        (("pause", "R1", "--reason", "x", "--until", "99999999999d"), '--until: "99999999999d" is too long'),
        (("pause", "R1", "--reason", "x", "--request-timeout", "1w"), '"1w" is no duration such as 30s or 2m'),
        (("pause", "R1", "--all", "--reason", "x"), "give codes, --all-matching with a glob, or --all"),
        (("pause", "--all"), "Missing option '--reason'"),
        (("resume", "--all", "--all-matching", "*"), "give codes, --all-matching with a glob, or --all"),
        (("resume",), "give codes, --all-matching with a glob, or --all"),
    ],
)
def test_a_wrong_command_line(arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code != 0
    assert said in done.stderr


KUBECTL = """
cd "$(dirname "$0")"
case "$1" in
get) cat cronjobs ;;
auth) echo ana ;;
annotate) echo "$@" >> written
  case "$*" in *" R2 "*) [ ! -f refused ] || { echo 'Error from server (Forbidden): not R2' >&2; exit 1; } ;; esac
  [ ! -f after ] || mv after cronjobs ;;
esac
"""
PREFIX = "region-tick.dev/"


def cronjob(name: str, **annotations: str) -> dict[str, Any]:
    found = {PREFIX + key.replace("_", "-"): text for key, text in annotations.items()}
    return {"metadata": {"name": name, "namespace": "ns", "annotations": found}, "spec": {"suspend": True}}


class Plugin:
    """Runs commands on a kubectl that has some CronJobs, and others `after` its first change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, *cronjobs: dict[str, Any], name: str = "cronjobs") -> None:
        (self.folder / name).write_text(json.dumps({"items": cronjobs}))

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        env = {"PATH": write_kubectl(self.folder, KUBECTL)}
        return CliRunner().invoke(group, [*arguments, "-n", "ns"], input=stdin, env=env)

    @property
    def written(self) -> str:
        path = self.folder / "written"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    monkeypatch.setattr(pauses, "HEARD_SECONDS", 0)
    plugin = Plugin(tmp_path)
    plugin.has(cronjob("R1"), cronjob("R2"))
    return plugin


def test_the_end_is_told_in_utc(plugin: Plugin) -> None:
    done = plugin("pause", "R1", "--reason", "x", "--until", "2h")
    assert done.exit_code == 0, done.output
    [end] = re.findall(r"paused-until=(\S+)", plugin.written)
    assert done.stdout == f"R1 paused until {end} (in 120m)\n"
    assert "in UTC" in " ".join(plugin("pause", "--help").stdout.split())


def test_a_time_of_day_that_is_tomorrow_is_asked(plugin: Plugin) -> None:
    arguments = ("pause", "R1", "--reason", "x", "--until", "00:00")
    refused = plugin(*arguments)
    assert (refused.exit_code, plugin.written) == (1, "")
    assert "--until 00:00: it is" in refused.stderr
    assert re.search(r"Pause these until \S+T00:00:00Z \(in \w+\)\?", refused.stderr)
    assert plugin(*arguments, stdin="y\n").exit_code == 0
    assert plugin(*arguments, "--yes").exit_code == 0
    assert plugin.written.count("annotate") == 2


def test_a_pause_that_is_over_is_none_and_leaves_no_end(plugin: Plugin) -> None:
    plugin.has(cronjob("R1", paused="true", paused_until="2020-01-01T00:00:00Z"))
    done = plugin("pause", "R1", "--reason", "x")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "R1 paused\n", "")
    assert f"{PREFIX}paused-until- " in plugin.written


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("spec.suspend", "suspended with all regions: kubectl region resume --all ends that"),
        ("quarantine", "suspended by quarantine"),
        ("", "suspended by somebody"),
    ],
)
def test_a_region_that_is_not_paused_says_what_else_suspends_it(plugin: Plugin, by: str, said: str) -> None:
    plugin.has(cronjob("R1", suspended_by=by))
    assert plugin("resume", "R1").stderr == f"R1 is not paused, and {said}\n"


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [("pause", {}, {"paused": "true"}), ("resume", {"paused": "true"}, {})],
    ids=["pause", "resume"],
)
def test_what_fails_midway_says_what_was_done(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, verb: str, before: dict[str, str], after: dict[str, str]
) -> None:
    monkeypatch.setattr(cluster, "NAMES_AT_ONCE", 1)
    (plugin.folder / "refused").touch()
    plugin.has(cronjob("R1", **before), cronjob("R2", **before))
    plugin.has(cronjob("R1", **after), cronjob("R2", **before), name="after")
    done = plugin(verb, "R1", "R2", *["--reason", "x"] * (verb == "pause"))
    assert done.exit_code == 1
    assert "error: not R2" in done.stderr
    assert f"error: 1 of 2 regions were {verb}d: R1; not {verb}d: R2" in done.stderr
