"""What a log shows of long work."""

from __future__ import annotations

import re

import pytest

from devcluster import progress


def test_a_log_gets_a_line_at_the_start_and_one_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("building etcd (1 of 3)") as detail:
        detail("12 packages compiled")
    first, last = capsys.readouterr().err.splitlines()
    assert first == "building etcd (1 of 3) ..."
    assert re.fullmatch(r"building etcd \(1 of 3\): done in \d+\.\d s", last)


def fail() -> None:
    with progress.step("building etcd"):
        raise OSError


def test_a_failure_is_said_and_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - ours, from above
        fail()
    assert "building etcd: failed after" in capsys.readouterr().err
