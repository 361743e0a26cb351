"""What is said about missing programs; that they are installed is proved by a fresh machine's first run."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from devcluster import debian
from devcluster.debian import Part
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path


def test_missing_finds_commands_on_the_path_and_files_and_libraries_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("there", "also"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    here = [Part("there", "p", "x"), Part(f"{tmp_path}/also", "p", "x"), Part("libc.so.6", "p", "x")]
    gone = [Part("gone", "p", "x"), Part(f"{tmp_path}/gone", "p", "x"), Part("libgone.so.6", "p", "x")]
    assert debian.missing((*here, *gone)) == gone


def test_who_cannot_install_is_told_the_command_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no apt-get, as on another distribution
    with pytest.raises(ClusterError) as error:
        debian.ensure((Part("runc", "runc", "starts containers"), Part("nft", "nftables", "carries rules")))
    assert "apt-get install nftables runc" in str(error.value)
    assert "nft (package nftables): carries rules" in str(error.value)


def test_nothing_is_done_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runc").write_text("#!/bin/sh\n")
    (tmp_path / "runc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))  # with apt-get out of reach an attempt would raise
    debian.ensure((Part("runc", "runc", "starts containers"),))


APT_GET = """#!/bin/sh
mkdir "$0.lock" || exit 100 # as if another apt-get ran
echo "$1" >> "$0.log"
sleep 0.2 # so long that another process would come in between
if [ "$1" = install ]; then printf '#!/bin/sh\\n' > "${0%/*}/wanted"; chmod +x "${0%/*}/wanted"; fi
rmdir "$0.lock"
"""


def test_two_that_need_the_same_install_it_once_and_after_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text(APT_GET)
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(debian.ensure, (Part("wanted", "p", "x"),)) for _ in range(2)]:
            done.result()
    assert (programs / "apt-get.log").read_text().split() == ["update", "install"]


FETCHING = """#!/bin/sh
echo "$1" >> "$0.log"
if [ "$1" = download ]; then [ -e "$0.updated" ] || exit 100; : > "$3_1.deb"; fi
if [ "$1" = update ]; then : > "$0.updated"; fi
"""
"""Knows no package before its lists were fetched, as on a fresh machine."""
DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/bin" && : > "$3/usr/bin/wanted"
"""


def test_a_package_is_fetched_once_and_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"apt-get": FETCHING, "dpkg-deb": DPKG_DEB}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        assert (debian.extract("wanted") / "usr/bin/wanted").exists()
    assert (programs / "apt-get.log").read_text().split() == ["download", "update", "download"]


def test_who_has_no_debian_is_told_what_the_package_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ClusterError, match="prometheus comes from Debian's packages"):
        debian.extract("prometheus")


def test_the_folders_for_administration_are_added_behind_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    debian.complete_path()
    assert os.environ["PATH"].split(":")[0] == "/usr/bin"
    assert "/usr/sbin" in os.environ["PATH"].split(":")
