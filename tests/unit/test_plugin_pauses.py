"""kubectl_region/pauses.py: what is refused, asked and told. With a real API server: tests/cluster/test_plugin.py."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from kubectl_region import annotating, cluster
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
import json, pathlib, sys
words, folder = sys.argv[2:], pathlib.Path(sys.argv[1])
place = folder / "cronjobs"
found = place.read_text()
if words[0] == "auth":
    print("ana", end="")
elif words[0] == "get":
    print(found)
    if (folder / "later").exists():
        (folder / "later").replace(place)
else:
    with (folder / "written").open("a") as file:
        print(*words, file=file)
    if "R2" in words and (folder / "refused").exists():
        sys.exit("Error from server (Forbidden): not R2")
    cronjobs = json.loads(found)
    for cronjob in cronjobs["items"]:
        if cronjob["metadata"]["name"] in words:
            changes = [word for word in words if word.startswith("region-tick.dev/")]
            sets = dict(word.split("=", 1) for word in changes if "=" in word)
            kept = cronjob["metadata"]["annotations"].items()
            cronjob["metadata"]["annotations"] = {key: text for key, text in kept if f"{key}-" not in changes} | sets
    others = json.loads((folder / "others").read_text()) if (folder / "others").exists() else {}
    now = [others.get(cronjob["metadata"]["name"], cronjob) for cronjob in cronjobs["items"]]
    place.write_text(json.dumps({"items": [cronjob for cronjob in now if cronjob]}))
"""
PREFIX = "region-tick.dev/"


def cronjob(name: str, **annotations: str) -> dict[str, Any]:
    found = {PREFIX + key.replace("_", "-"): text for key, text in annotations.items()}
    return {"metadata": {"name": name, "namespace": "ns", "annotations": found}, "spec": {"suspend": True}}


class Plugin:
    """Runs commands on a kubectl that has some CronJobs.

    It has others `later`, after it was asked first. What `others` make of some, or of them none, comes after a change.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "kubectl.py").write_text(KUBECTL)

    def has(self, *cronjobs: dict[str, Any], name: str = "cronjobs") -> None:
        (self.folder / name).write_text(json.dumps({"items": cronjobs}))

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        program = f'exec {sys.executable} -I -S {self.folder}/kubectl.py {self.folder} "$@"'
        env = {"PATH": write_kubectl(self.folder, program)}
        return CliRunner().invoke(group, [*arguments, "-n", "ns"], input=stdin, env=env)

    @property
    def written(self) -> str:
        path = self.folder / "written"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    monkeypatch.setattr(annotating, "HEARD_SECONDS", 0)
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
    plugin.has(cronjob("R1"))
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


@pytest.mark.parametrize(("verb", "before"), [("pause", {}), ("resume", {"paused": "true"})], ids=["pause", "resume"])
def test_what_fails_midway_says_what_was_done(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, verb: str, before: dict[str, str]
) -> None:
    monkeypatch.setattr(cluster, "NAMES_AT_ONCE", 1)
    (plugin.folder / "refused").touch()
    plugin.has(cronjob("R1", **before), cronjob("R2", **before))
    done = plugin(verb, "R1", "R2", *["--reason", "x"] * (verb == "pause"))
    assert done.exit_code == 1
    assert "error: not R2" in done.stderr
    assert f"error: 1 of 2 regions were {verb}d: R1; not {verb}d: R2" in done.stderr


BEN = {"paused": "true", "paused_by": "ben", "paused_reason": "disks"}
PAUSE_ALL = ("pause", "--all-matching", "R*", "--reason", "x")


def test_a_pause_that_came_during_the_question_stays(plugin: Plugin) -> None:
    plugin.has(cronjob("R1", **BEN), cronjob("R2"), name="later")
    done = plugin(*PAUSE_ALL, stdin="y\n")
    assert (done.exit_code, done.stdout) == (0, "R2 paused\n"), done.stderr
    assert done.stderr.startswith("2 regions: R1, R2\nPause these? [y/N]: ")
    assert done.stderr.endswith("R1 is paused by ben: disks; it stays so\n")
    assert " R1 " not in plugin.written


def test_what_was_resumed_during_the_question_is_left_alone(plugin: Plugin) -> None:
    plugin.has(cronjob("R1", paused="true"), cronjob("R2", **BEN))
    plugin.has(cronjob("R1"), cronjob("R2", **BEN), name="later")
    done = plugin("resume", "--all-matching", "*", stdin="y\n")
    assert (done.exit_code, done.stdout) == (0, "R2 resumed, and suspended by somebody\n"), done.stderr
    assert "R1 is not paused" in done.stderr
    assert " R1 " not in plugin.written


def test_a_dry_run_of_a_resumption_changes_nothing(plugin: Plugin) -> None:
    plugin.has(cronjob("R1", suspended_by="paused", **BEN))
    done = plugin("resume", "--all-matching", "*", "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "R1 was paused by ben: disks\nR1 resumed (server dry run)\n"


def test_another_pause_than_was_shown_is_not_ended(plugin: Plugin) -> None:
    plugin.has(cronjob("R1", paused="true"), cronjob("R2", paused="true"))
    plugin.has(cronjob("R1", **BEN), cronjob("R2", paused="true"), name="later")
    done = plugin("resume", "--all-matching", "*", stdin="y\n")
    assert (done.exit_code, plugin.written) == (1, "")
    assert done.stderr.endswith(
        "error: another pause than was shown: R1; nothing was resumed\n"
        "what to do: look again: the same command shows what is paused now\n"
    )


@pytest.mark.parametrize(
    ("verb", "before", "after", "told"),
    [
        ("pause", {}, None, "is gone"),
        ("pause", {}, {}, "is not paused any more: somebody has resumed it"),
        ("pause", {}, BEN, "was changed by somebody else meanwhile: paused by ben: disks"),
        ("resume", BEN, None, "is gone"),
        ("resume", BEN, BEN, "was changed by somebody else meanwhile: paused by ben: disks"),
    ],
)
def test_what_others_make_of_a_change_is_told(
    plugin: Plugin, verb: str, before: dict[str, str], after: dict[str, str] | None, told: str
) -> None:
    plugin.has(cronjob("R1", **before), cronjob("R2", **before))
    (plugin.folder / "others").write_text(json.dumps({"R1": None if after is None else cronjob("R1", **after)}))
    done = plugin(verb, "R1", "R2", *["--reason", "x"] * (verb == "pause"))
    assert done.exit_code == 1
    assert f"R1 {told}\n" in done.stderr
    assert f"error: 1 of 2 regions were not {verb}d: R1\n" in done.stderr
    assert f"R2 {verb}d" in done.stdout
