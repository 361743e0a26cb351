"""kubectl_region/completion.py: which words a shell is offered, with the real kubectl asking the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kubectl_region import completion
from kubectl_region.commands import COMMANDS
from kubectl_region.completion import PROGRAM, answer, cluster_of
from tests.unit.plugin import console_server
from tests.unit.plugin_answers import region_list, region_row

if TYPE_CHECKING:
    from pathlib import Path


def words(*line: str) -> list[str]:
    *found, directive = answer(line)
    assert directive == ":4"
    return [text.partition("\t")[0] for text in found]


def test_commands_with_their_help() -> None:
    assert words("") == list(COMMANDS)
    assert list(answer(["res"])) == [f"resume\t{COMMANDS['resume'].help}", ":4"]


def test_options_and_their_values() -> None:
    assert words("list", "--st") == ["--state"]
    assert words("list", "-o", "") == ["json", "yaml", "wide", "name"]
    assert words("list", "--state", "pa") == ["paused"]
    assert words("approve", "sp") == ["speedup"]
    assert words("pause", "--reason", "") == []


def test_codes_of_the_cluster_that_the_line_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "LIMIT_SECONDS", 60)  # a shell waits for less than a busy machine needs
    with console_server(tmp_path, namespace="a") as console:
        console.answer("regions", region_list(region_row("FR-69"), region_row("FR-75")), namespace="b")
        where = ["-n", "b", f"--kubeconfig={console.kubeconfig}"]
        assert words("get", *where, "FR-") == ["FR-69", "FR-75"]
        assert console.asked[-1][1]["code"] == "FR-"
        assert words("pause", *where, "FR-69", "FR-7") == ["FR-75"]
        assert words("get", *where, "FR-69", "") == []
        assert words("list", *where, "") == []
        console.answer("regions", region_list(region_row("S\u00a0Paulo")), namespace="b")
        assert words("get", *where, r"S\xa0P") == words("get", *where, "S\u00a0P") == [r"S\xa0Paulo"]


def test_what_fails_says_nothing() -> None:
    assert words("get", "--kubeconfig=/nowhere", "") == []


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        (["--context", "x"], ("--context=x", "--request-timeout=5s")),
        (["--context=x", "--kubeconfig", "y"], ("--context=x", "--kubeconfig=y", "--request-timeout=5s")),
        ([], ("--request-timeout=5s",)),
    ],
)
def test_flags_are_those_of_the_line(line: list[str], flags: tuple[str, ...]) -> None:
    assert cluster_of(["get", *line]).kubectl.flags == flags


def test_the_program_has_the_name_that_kubectl_looks_for() -> None:
    assert PROGRAM == "kubectl_complete-region"
