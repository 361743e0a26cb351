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
case "$*" in
auth*) printf ana; exit ;;
*" -A "*)
  printf '{"items": ['
  for each in */scheduler; do cat "$each"; printf ,; done | sed '$s/,$//'
  printf ']}'
  exit ;;
esac
namespace=${*#*-n }
cd "${namespace%% *}"
version() { grep -o '"resourceVersion": "[0-9]*"'; }
case "$1" in
get) cat scheduler ;;
patch)
  [ ! -f refused ] || { cat refused >&2; exit 1; }
  for each in $(ls meanwhile-* 2>/dev/null | head -1); do mv $each scheduler; done
  [ "$(printf %s "$*" | version)" = "$(version < scheduler)" ] ||
    { echo 'Error from server (Conflict): the object has been modified' >&2; exit 1; }
  printf '%s\\n' "$*" >> written
  [ ! -f after ] || mv after scheduler
  cat scheduler ;;
esac
"""
FAR = "2999-01-01T00:00:00Z"
TOLD = "all 9 active regions are suspended by bob since 2026-11-30T01:00:00Z, until spec.suspend is set to false"


def scheduler(
    namespace: str = "ns", *, told: str = "", progress: str = "", observed: int = 3, version: int = 7, **spec: Any
) -> dict[str, Any]:
    """Return a RegionScheduler with 9 active regions. `told` is what the operator says of a suspension."""
    conditions = [{"type": "Ready", "message": told or "9 of 9 active regions are scheduled"}]
    conditions += [{"type": "Suspended", "message": told}] * bool(told)
    conditions += [{"type": "Reconciling", "message": progress}] * bool(progress)
    status = {"observedGeneration": observed, "regions": {"active": 9}, "conditions": conditions}
    metadata = {"namespace": namespace, "name": "default", "generation": 3, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec, "status": status}


class Plugin:
    """Runs commands on a kubectl that has RegionSchedulers, and another one `after` the first change of each.

    `meanwhile` is what others make of a RegionScheduler, one after the other, before a change of it comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(
        self, found: dict[str, Any], *meanwhile: dict[str, Any], after: dict[str, Any] | None = None, refused: str = ""
    ) -> None:
        folder = self.folder / found["metadata"]["namespace"]
        folder.mkdir(exist_ok=True)
        versions = {f"meanwhile-{number}": version for number, version in enumerate(meanwhile)}
        for name, version in {"scheduler": found, "after": after, **versions}.items():
            if version:
                (folder / name).write_text(json.dumps(version))
        if refused:
            (folder / "refused").write_text(refused)

    def __call__(self, *arguments: str, stdin: str = "") -> Result:
        env = {"PATH": write_kubectl(self.folder, KUBECTL)}
        where = [] if "-A" in arguments else ["-n", "ns"]
        return CliRunner().invoke(group, [*arguments, *where], input=stdin, env=env)

    @property
    def patch(self) -> dict[str, Any]:
        """The last change of the RegionScheduler in ns; {} if there was none."""
        return self.patch_of("ns")

    def patch_of(self, namespace: str) -> dict[str, Any]:
        path = self.folder / namespace / "written"
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
    assert refused.stderr.startswith("ns/default: 9 active regions\nSuspend all of them until they are resumed? [y/N]")
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
        ({"suspendUntil": "2999-01-01t00:00:00z"}, FAR, None),
        ({"suspendUntil": "2999-01-01T00:00:00+99:00"}, FAR, {"suspendUntil": FAR}),
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
    assert done.stderr.startswith(f"ns/default: {TOLD}\nns/default: 9 active regions\nResume all of them?")
    assert done.stdout == "ns/default: 9 of 9 active regions are scheduled\n"
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
    assert "--dry-run=server" in (plugin.folder / "ns/written").read_text()


COMMANDS = pytest.mark.parametrize(("command", "suspended"), [(PAUSE, True), (("resume", "--all"), False)])
FORBIDDEN = "Error from server (Forbidden): you may not patch it"


def before_and_after(namespace: str, *, suspended: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    other, all_suspended = scheduler(namespace), scheduler(namespace, told=TOLD, suspend=True)
    return (other, all_suspended) if suspended else (all_suspended, other)


@COMMANDS
def test_an_operator_that_does_not_follow_stops_no_other_namespace(
    plugin: Plugin, command: tuple[str, ...], suspended: bool
) -> None:
    dead, _ = before_and_after("a", suspended=suspended)
    before, after = before_and_after("b", suspended=suspended)
    plugin.has(dead)
    plugin.has(before, after=after)
    done = plugin(*command, "-A", "-y")
    assert (done.exit_code, plugin.patch_of("a")["spec"]["suspend"]) == (1, suspended)
    assert plugin.patch_of("b")["spec"]["suspend"] is suspended
    assert f"b/default: {after['status']['conditions'][-1]['message']}\n" in done.stdout
    verb = "suspended" if suspended else "resumed"
    assert done.stderr.endswith(
        "error: the spec is changed, and after 0 s the operator has not followed: a/default;"
        f" 1 of 2 were {verb}: b/default\nwhat to do: see whether the operator runs: kubectl region doctor\n"
    )


@COMMANDS
def test_a_refusal_stops_no_other_namespace(plugin: Plugin, command: tuple[str, ...], suspended: bool) -> None:
    plugin.has(before_and_after("a", suspended=suspended)[0], refused=FORBIDDEN)
    before, after = before_and_after("b", suspended=suspended)
    plugin.has(before, after=after)
    done = plugin(*command, "-A", "-y")
    assert (done.exit_code, plugin.patch_of("a"), plugin.patch_of("b")["spec"]["suspend"]) == (1, {}, suspended)
    verb = "suspended" if suspended else "resumed"
    assert "a/default: you may not patch it\n" in done.stderr
    assert f"error: not changed: a/default; 1 of 2 were {verb}: b/default\n" in done.stderr


@COMMANDS
def test_what_another_person_wrote_during_the_question_stays(
    plugin: Plugin, command: tuple[str, ...], suspended: bool
) -> None:
    before, _ = before_and_after("ns", suspended=suspended)
    plugin.has(before, scheduler(told=TOLD, suspendUntil=FAR, version=8))
    done = plugin(*command, stdin="y\n")
    assert (done.exit_code, plugin.patch) == (1, {})
    assert done.stderr.endswith(
        "error: the suspension was changed meanwhile, and nothing is written\n"
        "what to do: look again: kubectl region status -n ns; then give the same command again\n"
    )


def test_what_the_operator_writes_meanwhile_holds_nothing_up(plugin: Plugin) -> None:
    plugin.has(scheduler(), scheduler(version=8), scheduler(version=9), after=scheduler(told=TOLD, suspend=True))
    done = plugin(*PAUSE, stdin="y\n")
    assert (done.exit_code, plugin.patch["metadata"]["resourceVersion"]) == (0, "9"), done.stderr


def test_what_changes_all_the_time_is_given_up(plugin: Plugin) -> None:
    plugin.has(scheduler(), *(scheduler(version=8 + number) for number in range(9)))
    done = plugin(*PAUSE, "-y")
    assert (done.exit_code, plugin.patch) == (1, {})
    assert "error: it has changed 5 times meanwhile, and nothing is written\n" in done.stderr
