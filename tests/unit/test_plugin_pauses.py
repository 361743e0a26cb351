"""kubectl_region/pauses.py: command lines that are refused before anybody is asked. What it does: tests/cluster."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from kubectl_region.commands import group


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pause", "R1"), "Missing option '--reason'"),
        (("pause", "R1", "--reason", " "), "the reason is empty"),
        (("pause", "--reason", "x"), "give codes, or --all-matching with a glob"),
        (("pause", "R1", "--all-matching", "*", "--reason", "x"), "give codes, or --all-matching with a glob"),
        (("pause", "R1", "--reason", "x", "--until", "2020-01-01"), "--until: 2020-01-01T00:00:00Z is past"),
        (("pause", "R1", "--reason", "x", "--until", "soon"), '--until: "soon" is no time such as'),
        (("pause", "R1", "--reason", "x", "--request-timeout", "1w"), '"1w" is no duration such as 30s or 2m'),
        (("resume",), "give codes, or --all-matching with a glob"),
    ],
)
def test_a_wrong_command_line(arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(group, arguments)
    assert done.exit_code != 0
    assert said in done.stderr
