"""A docker command alone is no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster.docker import engine_answers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("code", "answers"), [(0, True), (1, False)])
def test_the_engines_answer_decides(code: int, answers: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "docker").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert engine_answers() is answers


def test_without_the_command_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not engine_answers()
