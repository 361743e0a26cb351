"""Which archives of built images are kept. The engine is a script that builds nothing and saves an empty archive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devcluster import images

if TYPE_CHECKING:
    from pathlib import Path

_ENGINE = """#!/bin/sh
for word in "$@"; do case "$word" in --output=*) set -C; : > "${word#--output=}" || exit 1;; esac; done
"""
_TWO_DAYS = 2 * 86400


@pytest.fixture
def dockerfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docker").write_text(_ENGINE)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    return tmp_path / "Dockerfile"


def build_changed(dockerfile: Path) -> Path:
    dockerfile.write_text(dockerfile.read_text() + "\nLABEL changed=again")
    return images.build(dockerfile, "region-tick/program:1")


def age(archive: Path) -> None:
    long_ago = archive.stat().st_mtime - _TWO_DAYS
    os.utime(archive, (long_ago, long_ago))


def test_an_archive_that_another_may_still_load_is_kept(dockerfile: Path) -> None:
    first = build_changed(dockerfile)
    second = build_changed(dockerfile)
    assert first != second
    assert first.exists()


def test_one_that_nobody_asked_for_in_a_day_goes_at_the_next_build(dockerfile: Path) -> None:
    first = build_changed(dockerfile)
    age(first)
    second = build_changed(dockerfile)
    assert not first.exists()
    age(second)
    assert images.build(dockerfile, "region-tick/program:1") == second
    build_changed(dockerfile)
    assert second.exists(), "it was asked for just now"


def test_what_an_interrupted_build_left_is_in_no_ones_way(dockerfile: Path) -> None:
    archive = build_changed(dockerfile)
    archive.rename(archive.with_suffix(".partial"))
    assert images.build(dockerfile, "region-tick/program:1") == archive
