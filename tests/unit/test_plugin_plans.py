"""kubectl_region/plans.py: `diff` with the real kubectl and its exit codes, and what `approve` writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from kubectl_region import plans
from kubectl_region.commands import group
from kubectl_region.holds import Hold, holds_of
from kubectl_region.plans import approvals_with, hold_text
from tests.harness.operator_process import CHECKOUT
from tests.unit.plugin import ConsoleServer, console_server, status, write_kubectl
from tests.unit.plugin_answers import HEAD, NOW, plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHANGE = {
    "action": "create",
    "regionId": "9",
    "code": "FR-75",
    "cronjob": "fr-75-0123456789ab",
    "schedule": "5 * * * *",
    "reason": "an active row without a CronJob",
}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with console_server(tmp_path) as server:
        yield server


def test_a_difference(console: ConsoleServer) -> None:
    console.answer("plan", plan(CHANGE, CHANGE | {"action": "hold", "code": "FR-69", "regionId": "8"}, quota=6))
    done = console.run("diff")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "ACTION        CODE    SCHEDULE    WHY",
        "create        FR-75   5 * * * *   an active row without a CronJob",
        "hold          FR-69   5 * * * *   an active row without a CronJob",
        "quota                             at most 6 ticks at once",
        "quarantined   BAD                 day of week 7",
        "deletions would be held",
        "1 to create, 1 to hold, 48 unchanged, 1 quarantined",
    ]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (plan(), 0),
        (plan(CHANGE), 1),
        (plan(quota=6), 1),
        (status(HTTPStatus.NOT_FOUND, "NotFound", 'services "region-tick-console" not found'), 2),
    ],
    ids=["none", "a change", "the quota", "it cannot be told"],
)
@pytest.mark.parametrize("form", [[], ["-o", "json"]], ids=["text", "json"])
def test_the_exit_codes_are_those_of_kubectl_diff(
    console: ConsoleServer, answer: Any, code: int, form: list[str]
) -> None:
    console.answer("plan", answer)
    assert console.run("diff", *form).exit_code == code


@pytest.mark.parametrize(
    ("words", "answer", "said"),
    [
        (["-A"], plan(), "-n and -A contradict each other"),
        ([], HEAD | {"kind": "Plan", "madeAt": NOW, "plan": {"changes": []}}, 'the console\'s answer has no "quota"'),
        ([], HEAD | {"kind": "Plan", "madeAt": NOW, "plan": 7}, "TypeError"),
        (["--nothing"], plan(), "No such option"),
    ],
    ids=["two options", "another release", "a mistake of ours", "a wrong command line"],
)
def test_what_is_no_answer_is_no_difference(
    console: ConsoleServer, words: list[str], answer: dict[str, Any], said: str
) -> None:
    console.answer("plan", answer)
    done = console.run("diff", *words)
    assert (done.exit_code > 1, said in done.stderr) == (True, True), done.output


def test_a_reader_who_goes_away_sees_no_difference(console: ConsoleServer) -> None:
    console.answer("plan", plan(CHANGE))
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "kubectl_region", "diff", "-n", "region-tick"]
    done = subprocess.run(
        words, cwd=CHECKOUT, env=os.environ | console.env, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (2, b"")


@pytest.mark.parametrize(
    ("made_at", "last"),
    [
        ("2026-11-30T00:59:20.5Z", "as of 2026-11-30T00:59:20Z (39s ago)"),
        ("2026-11-30T00:59:57Z", "48 unchanged, 1 quarantined"),
    ],
    ids=["an old plan", "a new one"],
)
def test_an_old_plan_says_its_age(console: ConsoleServer, made_at: str, last: str) -> None:
    console.answer("plan", plan() | {"madeAt": made_at})
    assert console.run("diff").stdout.splitlines()[-1] == last


def scheduler(approval: str = "") -> dict[str, Any]:
    return {
        "metadata": {
            "name": "default",
            "namespace": "region-tick",
            "annotations": {"region-tick.dev/approve-deletions": approval} if approval else {},
        },
        "status": {
            "heldDeletions": {"since": "2026-11-30T00:00:00Z", "approval": "aaa", "regions": "k1 k2"},
            "heldCreations": {"since": "2026-11-30T00:10:00Z", "approval": "bbb", "regions": "k3"},
            "conditions": [{"type": "DeletionsHeld", "message": "deletions held: A, B; if they are to go: ..."}],
        },
    }


def test_what_is_held() -> None:
    deletion, creation = holds_of(scheduler())
    assert deletion == Hold(
        kind="deletion",
        since="2026-11-30T00:00:00Z",
        approval="aaa",
        regions=("k1", "k2"),
        text="deletions held: A, B; if they are to go: ...",
    )
    assert (creation.kind, creation.text) == ("creation", "")
    shrunk = scheduler()
    shrunk["status"]["releasedDeletions"] = {"approval": "aaa", "regions": "k1"}
    assert holds_of(shrunk)[0].regions == ("k2",)
    shrunk["status"]["releasedDeletions"]["approval"] = "of a hold before it"
    assert holds_of(shrunk)[0].regions == ("k1", "k2")
    assert holds_of({"metadata": {}}) == []


def test_a_hold_is_shown_with_its_regions() -> None:
    deletion, creation = holds_of(scheduler())
    assert list(hold_text("ns", deletion, {"k1": "B", "k2": "A"})) == [
        "ns: 2 deletions held since 2026-11-30T00:00:00Z, approval aaa",
        "  A, B",
        "  deletions held: A, B; if they are to go: ...",
    ]
    assert list(hold_text("ns", creation, {})) == [
        "ns: 1 creations held since 2026-11-30T00:10:00Z, approval bbb",
        "  1 regions without a CronJob: kubectl region diff -n ns names them",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "aaa"), ("bbb", "bbb,aaa"), ("aaa", "aaa"), ("old, bbb ,older", "bbb,aaa")],
    ids=["nothing", "of another hold", "the same", "of holds that are past"],
)
def test_approvals_of_other_holds_stay(before: str, after: str) -> None:
    assert approvals_with(scheduler(before), ["aaa"]) == after


KUBECTL = """
cd "$(dirname "$0")"
case "$1 $2" in
"get cronjobs") echo '{"items": []}' ;;
get*) cat "$(ls answer-* | head -1)"; [ $(ls answer-* | wc -l) = 1 ] || rm "$(ls answer-* | head -1)" ;;
annotate*) echo "$@" >> written
  [ ! -f conflict ] || { rm conflict; echo 'Error from server (Conflict): changed' >&2; exit 1; } ;;
esac
"""


class Approval:
    """Approves on a kubectl that answers with one RegionScheduler after the other, and with the last one again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *answers: dict[str, Any], kind: str = "deletion") -> Result:
        for number, answer in enumerate(answers):
            (self.folder / f"answer-{number}").write_text(json.dumps(answer))
        path = write_kubectl(self.folder, KUBECTL)
        return CliRunner().invoke(group, ["approve", kind, "-n", "region-tick", "--yes"], env={"PATH": path})

    @property
    def written(self) -> int:
        """How often an approval was written."""
        path = self.folder / "written"
        return path.read_text().count("annotate regionscheduler") if path.exists() else 0


@pytest.fixture
def approval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Approval:
    monkeypatch.setattr(plans, "HEARD_SECONDS", 0)
    return Approval(tmp_path)


def held(approval: str = "") -> dict[str, Any]:
    """Return a RegionScheduler that holds deletions, or nothing."""
    found = scheduler()
    found["metadata"]["resourceVersion"] = "1"
    deletions = {"since": "2026-11-30T00:00:00Z", "approval": approval, "regions": "k1 k2"}
    return found | {"status": {"heldDeletions": deletions} if approval else {}}


def shrunk(approval: str) -> dict[str, Any]:
    found = held(approval)
    found["status"]["releasedDeletions"] = {"approval": approval, "regions": "k1"}
    return found


def test_an_approval_that_is_heard(approval: Approval) -> None:
    done = approval(held("aaa"), held("aaa"), held())
    assert (done.exit_code, approval.written, done.stderr) == (0, 1, "")
    assert done.stdout.endswith("region-tick: the deletions are approved\n")


@pytest.mark.parametrize("now", ["bbb", ""], ids=["another hold", "no hold"])
def test_a_hold_that_changes_during_the_question_is_not_approved(approval: Approval, now: str) -> None:
    done = approval(held("aaa"), held(now))
    assert (done.exit_code, approval.written) == (1, 0)
    assert "approved\n" not in done.stdout
    assert done.stderr == (
        "error: region-tick: the hold of deletions has changed: nothing was approved there\n"
        "what to do: look again: kubectl region approve --dry-run -n region-tick\n"
    )


def test_a_hold_that_grows_to_its_former_size_is_not_approved(approval: Approval) -> None:
    done = approval(shrunk("aaa"), held("aaa"))
    assert (done.exit_code, approval.written) == (1, 0)
    assert "nothing was approved" in done.stderr


def test_of_a_hold_that_shrinks_the_rest_is_approved(approval: Approval) -> None:
    assert approval(held("aaa"), shrunk("aaa"), held()).exit_code == 0
    assert approval.written == 1


def test_a_hold_that_changes_between_two_attempts_is_not_approved(approval: Approval) -> None:
    (approval.folder / "conflict").touch()
    done = approval(held("aaa"), held("aaa"), held("bbb"))
    assert (done.exit_code, approval.written) == (1, 1)
    assert "nothing was approved" in done.stderr


def test_a_hold_that_changes_after_the_approval_is_no_success(approval: Approval) -> None:
    done = approval(held("aaa"), held("aaa"), held("bbb"))
    assert (done.exit_code, approval.written) == (1, 1)
    assert "approved\n" not in done.stdout
    assert "others are held now than those that you approved" in done.stderr


def test_an_approval_that_no_operator_hears(approval: Approval) -> None:
    done = approval(held("aaa"))
    assert (done.exit_code, approval.written) == (1, 1)
    assert "still held after 0 s" in done.stderr
