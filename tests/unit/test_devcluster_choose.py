"""Which provider a person gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster import choose, current, kind, local
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from devcluster.cluster import Provider


@pytest.mark.parametrize(("value", "provider"), [("current", current), ("kind", kind), ("local", local)])
def test_cluster_names_the_provider(value: str, provider: Provider) -> None:
    assert choose({"CLUSTER": value}) is provider


@pytest.mark.parametrize("environ", [{}, {"CLUSTER": ""}])
def test_without_docker_it_is_local(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert choose(environ) is local


def test_another_value_is_refused_with_those_that_are_possible() -> None:
    with pytest.raises(ClusterError, match="'minikube' is unknown: use one of current, kind, local"):
        choose({"CLUSTER": "minikube"})
