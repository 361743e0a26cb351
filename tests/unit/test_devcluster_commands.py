"""What a person is told of a program that fails or does not end."""

from __future__ import annotations

import pytest

from devcluster.commands import run
from devcluster.errors import ClusterError


def test_what_it_printed_is_returned() -> None:
    assert run("echo", "done") == "done\n"


def test_what_fails_is_reported_with_what_it_said_on_both_streams() -> None:
    with pytest.raises(ClusterError, match=r"`sh -c .*` failed:\nthe step\nthe reason"):
        run("sh", "-c", "echo the step; echo the reason >&2; false")


def test_what_does_not_end_is_ended_and_reported() -> None:
    with pytest.raises(ClusterError, match="`sleep 60` did not end within 0 s: is what it downloads"):
        run("sleep", "60", seconds=0.1)
