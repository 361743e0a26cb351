"""The workflows are valid, run only code that is pinned, and publish nothing but tags that were checked."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import yaml

from tests.harness.go_program import go_program
from tests.harness.operator_process import CHECKOUT

WORKFLOWS = sorted((CHECKOUT / ".github/workflows").iterdir())
PINNED = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def test_actionlint_has_nothing_to_say() -> None:
    """The verdict is the same whether or not this machine has actionlint's two helpers."""
    command = [str(go_program("actionlint")), "-no-color", "-shellcheck=", "-pyflakes=", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_actions_are_named_by_their_commits() -> None:
    """A tag of an action can be moved to other code, a commit cannot."""
    for workflow in WORKFLOWS:
        lines = [line.strip().removeprefix("- ") for line in workflow.read_text().splitlines() if "uses: " in line]
        assert [line for line in lines if not PINNED.fullmatch(line)] == []


def release() -> Any:
    return yaml.safe_load((CHECKOUT / ".github/workflows/release.yaml").read_text())


def test_a_step_fails_with_any_command_of_a_pipe() -> None:
    """GitHub runs bash with -o pipefail only where a workflow names bash."""
    assert release()["defaults"] == {"run": {"shell": "bash"}}


def test_the_chart_that_is_published_was_rendered_before() -> None:
    steps = [step.get("run", "") for step in release()["jobs"]["assemble"]["steps"]]
    assert [command for step in steps for command in ("helm lint --strict", "helm template") if command in step] == [
        "helm lint --strict",
        "helm template",
    ]


def test_only_a_pushed_tag_that_was_checked_is_published() -> None:
    """Each job that may write depends on `push`, which needs the checks and the push of a tag."""
    workflow = release()
    jobs: dict[str, Any] = workflow["jobs"]
    assert workflow["permissions"] == {"contents": "read"}
    writing = {name for name, job in jobs.items() if "write" in job.get("permissions", {}).values()}
    assert writing == {"push", "attest", "page"}
    assert jobs["push"]["if"] == "github.event_name == 'push' && github.ref_type == 'tag'"
    assert "check" in jobs["push"]["needs"]
    assert (jobs["attest"]["needs"], jobs["page"]["needs"]) == ("push", "attest")
