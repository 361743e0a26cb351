"""Nobody's production by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from devcluster.current import Current, allowed, down, up
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    config = {
        "current-context": "staging",
        "contexts": [
            {"name": "production", "context": {"cluster": "p", "user": "u"}},
            {"name": "staging", "context": {"cluster": "s", "user": "u"}},
        ],
        "clusters": [
            {"name": "p", "cluster": {"server": "https://192.0.2.1:6443"}},
            {"name": "s", "cluster": {"server": "https://127.0.0.1:6443"}},
        ],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_named_context_is_allowed(kubeconfig: Path) -> None:
    cluster = allowed(kubeconfig, "staging")
    assert cluster == Current(name="staging", kubeconfig=kubeconfig, server="https://127.0.0.1:6443")
    assert cluster.host_address == "127.0.0.1"


@pytest.mark.parametrize("context", ["", "production", "stag", "staging ", "STAGING", ".*"])
def test_every_other_is_refused(kubeconfig: Path, context: str) -> None:
    with pytest.raises(ClusterError, match="is 'staging', but CLUSTER_CONTEXT allows"):
        allowed(kubeconfig, context)


def test_a_kubeconfig_without_context_is_refused_also_when_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(ClusterError, match="CLUSTER_CONTEXT"):
        allowed(tmp_path / "empty", "")


def test_the_environment_says_which(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("CLUSTER_CONTEXT", raising=False)
    with pytest.raises(ClusterError, match="CLUSTER_CONTEXT=staging"):
        up("any", node=True)
    monkeypatch.setenv("CLUSTER_CONTEXT", "staging")
    assert up("any", node=True).name == "staging"


def test_a_missing_kubeconfig_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="there is no kubeconfig file"):
        up("any", node=True)


def test_nothing_of_it_is_ours_to_stop_or_to_load_into(kubeconfig: Path, tmp_path: Path) -> None:
    assert down("staging") is False
    with pytest.raises(ClusterError, match="push the image to a registry"):
        allowed(kubeconfig, "staging").load_image(tmp_path / "x.tar")
