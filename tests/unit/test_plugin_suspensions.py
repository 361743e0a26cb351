"""kubectl_region/suspensions.py: what is asked, written and told. With a real API server: tests/cluster/."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from kubectl_region import suspensions
from kubectl_region.commands import group
from tests.unit.plugin import write_kubectl

if TYPE_CHECKING:
    from pathlib import Path

KUBECTL = """
cd "$(dirname "$0")"
case "$1" in
get) cat scheduler ;;
auth) printf ana ;;
patch) printf '%s\\n' "$*" >> written
  [ ! -f after ] || mv after scheduler
  cat scheduler ;;
esac
"""
FAR = "2999-01-01T00:00:00Z"
TOLD = "all 9 active regions are suspended by bob since 2026-11-30T01:00:00Z, until spec.suspend is set to false"


def scheduler(*, told: str = "", progress: str = "", observed: int = 3, **spec: Any) -> dict[str, Any]:
    """Return a RegionScheduler with 9 active regions. `told` is what the operator says of a suspension."""
    conditions = [{"type": "Ready", "message": told or "9 of 9 active regions are scheduled"}]
    conditions += [{"type": "Suspended", "message": told}] * bool(told)
    conditions += [{"type": "Reconciling", "message": progress}] * bool(progress)
    status = {"observedGeneration": observed, "regions": {"active": 9}, "conditions": conditions}
    return {"metadata": {"namespace": "ns", "name": "default", "generation": 3}, "spec": spec, "status": status}


class Plugin:
    """Runs commands on a kubectl that has a RegionScheduler, and another one `after` its first change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, found: dict[str, Any], *, after: dict[str, Any] | None = None) -> None:
        (self.folder / "scheduler").write_text(json.dumps(found))
        if after:
            (self.folder / "after").write_text(json.dumps(after))

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        env = {"PATH": write_kubectl(self.folder, KUBECTL)}
        return CliRunner().invoke(group, [*arguments, "-n", "ns"], input=stdin, env=env)

    @property
    def patch(self) -> dict[str, Any]:
        """The last change; {} if there was none."""
        path = self.folder / "written"
        if not path.exists():
            return {}
        found: dict[str, Any] = json.loads(path.read_text().splitlines()[-1].partition(" -p ")[2].partition(" --")[0])
        return found


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    monkeypatch.setattr(suspensions, "HEARD_SECONDS", 0)
    return Plugin(tmp_path)


PAUSE = ("pause", "--all", "--reason", "disks")


def test_all_are_suspended_when_the_person_says_yes(plugin: Plugin) -> None:
    plugin.has(scheduler(), after=scheduler(told=TOLD, suspend=True))
    refused = plugin(*PAUSE, stdin="n\n")
    assert (refused.exit_code, plugin.patch) == (1, {})
    assert refused.stdout == "ns/default: 9 active regions\n"
    assert "Suspend all of them until they are resumed? [y/N]" in refused.stderr
    done = plugin(*PAUSE, stdin="y\n")
    assert done.exit_code == 0, done.output
    assert plugin.patch["spec"] == {"suspend": True}
    told = plugin.patch["metadata"]["annotations"]
    assert (told["region-tick.dev/paused-by"], told["region-tick.dev/paused-reason"]) == ("ana", "disks")
    assert done.stdout.endswith(f"ns/default: {TOLD}\n"), "in the operator's words"


@pytest.mark.parametrize(
    ("command", "question"),
    [(PAUSE, "Suspend all of them until they are resumed?"), (("resume", "--all"), "Resume all of them?")],
)
def test_where_nobody_answers_nothing_is_changed(plugin: Plugin, command: tuple[str, ...], question: str) -> None:
    plugin.has(scheduler(suspend=command != PAUSE))
    done = plugin(*command)
    assert (done.exit_code, plugin.patch) == (1, {})
    assert f"nobody answered: {question}\nwhat to do: -y goes on without a question\n" in done.stderr


def test_with_an_end_the_other_field_is_left_alone(plugin: Plugin) -> None:
    """Somebody may set it meanwhile: then the API server refuses the end, and all stay suspended."""
    plugin.has(scheduler(), after=scheduler(told=TOLD))
    assert plugin(*PAUSE, "--until", FAR, "-y").exit_code == 0
    assert plugin.patch["spec"] == {"suspendUntil": FAR}


@pytest.mark.parametrize(
    ("spec", "until", "written"),
    [
        ({"suspend": True}, None, None),
        ({"suspend": True}, FAR, None),
        ({"suspend": True, "suspendUntil": FAR}, FAR, None),
        ({"suspendUntil": FAR}, FAR, None),
        ({"suspendUntil": FAR}, "2h", None),
        ({"suspendUntil": FAR}, None, {"suspend": True}),
        ({"suspendUntil": "2998-01-01T00:00:00Z"}, FAR, {"suspendUntil": FAR}),
        ({"suspendUntil": "2020-01-01T00:00:00Z"}, None, {"suspend": True}),
    ],
)
def test_a_suspension_that_stands_gets_longer_and_never_shorter(
    plugin: Plugin, spec: dict[str, Any], until: str | None, written: dict[str, Any] | None
) -> None:
    plugin.has(scheduler(told=TOLD, **spec))
    done = plugin(*PAUSE, "-y", *(["--until", until] if until else []))
    assert done.exit_code == 0, done.output
    assert plugin.patch.get("spec") == written
    assert (f"ns/default: {TOLD}; it stays so" in done.stderr) == (written is None)


def test_resume_shows_what_it_ends_and_takes_everything_of_it_away(plugin: Plugin) -> None:
    plugin.has(scheduler(told=TOLD, suspend=True, suspendUntil=FAR), after=scheduler())
    done = plugin("resume", "--all", stdin="y\n")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"ns/default: {TOLD}\n")
    assert done.stdout.endswith("ns/default: 9 of 9 active regions are scheduled\n")
    assert plugin.patch["spec"] == {"suspend": False, "suspendUntil": None}
    assert set(plugin.patch["metadata"]["annotations"].values()) == {None}


def test_resume_leaves_a_moment_that_is_past(plugin: Plugin) -> None:
    """Git may bring it back, and while all are suspended the API server refuses a moment that it does not have."""
    plugin.has(scheduler(told=TOLD, suspend=True, suspendUntil="2020-01-01T00:00:00Z"), after=scheduler())
    assert plugin("resume", "--all", "-y").exit_code == 0
    assert plugin.patch["spec"] == {"suspend": False}


def test_resume_without_a_suspension_changes_nothing(plugin: Plugin) -> None:
    plugin.has(scheduler(suspendUntil="2020-01-01T00:00:00Z"))
    done = plugin("resume", "--all", "-y")
    assert (done.exit_code, plugin.patch) == (0, {})
    assert "ns/default is not suspended" in done.stderr


@pytest.mark.parametrize("observed", [2, 3])
def test_an_operator_that_does_not_follow_is_told(plugin: Plugin, observed: int) -> None:
    plugin.has(scheduler(observed=observed))
    done = plugin(*PAUSE, "-y")
    assert done.exit_code == 1
    assert "the spec is changed, and after 0 s the operator has not followed" in done.stderr
    assert "kubectl region doctor" in done.stderr


def test_a_long_plan_says_how_far_it_is(plugin: Plugin) -> None:
    plugin.has(scheduler(), after=scheduler(progress="7 of 9 changes are made"))
    done = plugin(*PAUSE, "-y")
    assert "ns/default: 7 of 9 changes are made" in done.stderr


def test_a_dry_run_asks_nobody_and_waits_for_nothing(plugin: Plugin) -> None:
    plugin.has(scheduler())
    done = plugin(*PAUSE, "--dry-run")
    assert (done.exit_code, done.stdout) == (0, "ns/default suspended (server dry run)\n")
    assert "--dry-run=server" in (plugin.folder / "written").read_text()
