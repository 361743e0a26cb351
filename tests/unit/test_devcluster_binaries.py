"""Where binaries are looked for, and what the pinned modules say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from devcluster.binaries import (
    CONTROL_PLANE,
    NODE,
    OLDER_KUBERNETES,
    Binary,
    cached_path,
    kubernetes_module,
    locate,
    required_version,
    source_of,
)
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("binary", Binary)
def test_every_binary_has_a_pinned_source(binary: Binary) -> None:
    source = source_of(binary)
    assert (source.module / "go.mod").is_file()
    assert re.fullmatch(r"v\d+\.\d+\.\d+|[0-9a-f]{12}", source.version)


@pytest.mark.parametrize("wanted", OLDER_KUBERNETES)
def test_kubernetes_picks_an_older_control_plane(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES", wanted)
    for binary in CONTROL_PLANE:
        version = source_of(binary).version
        assert version.startswith(f"v{wanted}.") == (binary is not Binary.ETCD)
        assert version in str(cached_path(binary))
    with pytest.raises(ClusterError, match="leave KUBERNETES unset"):
        source_of(Binary.KUBELET)


def test_an_unknown_kubernetes_is_refused_and_an_empty_one_is_the_newest() -> None:
    with pytest.raises(ClusterError, match=r"KUBERNETES='1.32' is unknown: use one of 1.31, 1.33"):
        kubernetes_module({"KUBERNETES": "1.32"})
    assert kubernetes_module({"KUBERNETES": ""}) == kubernetes_module({})


def test_control_plane_and_node_together_are_all() -> None:
    assert sorted((*CONTROL_PLANE, *NODE)) == sorted(Binary)


def test_kubernetes_is_told_its_version() -> None:
    source = source_of(Binary.API_SERVER)
    assert f"gitVersion={source.version}" in source.ldflags


def test_required_version_reads_blocks_and_single_lines(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module m\n\nrequire a.b/c v1.2.3\n\nrequire (\n\ta.b/c/d v0.1.0 // indirect\n)\n")
    assert required_version(tmp_path, "a.b/c") == "v1.2.3"
    assert required_version(tmp_path, "a.b/c/d") == "v0.1.0"
    with pytest.raises(ClusterError, match="does not require"):
        required_version(tmp_path, "a.b")


def test_assets_come_before_the_cache_and_the_cache_before_a_build(empty_cache: Path, tmp_path: Path) -> None:
    assets = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets")}
    assert locate(Binary.ETCD, assets) is None
    cached = program(cached_path(Binary.ETCD))
    assert cached.is_relative_to(empty_cache)
    assert locate(Binary.ETCD, assets) == cached
    given = program(tmp_path / "assets" / "etcd")
    assert locate(Binary.ETCD, assets) == given
    assert locate(Binary.ETCD, {}) == cached


def test_a_file_that_cannot_run_is_no_binary(empty_cache: Path) -> None:
    program(cached_path(Binary.ETCD)).chmod(0o644)
    assert empty_cache.exists()
    assert locate(Binary.ETCD, {}) is None
