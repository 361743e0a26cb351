"""What of kind can be said without Docker."""

from __future__ import annotations

from typing import Any

import pytest

from devcluster import kind
from devcluster.errors import ClusterError


def networks(*gateways: str | None) -> list[dict[str, Any]]:
    configurations = [{"Subnet": "x"} | ({"Gateway": one} if one else {}) for one in gateways]
    return [{"Name": "kind", "IPAM": {"Config": configurations}}]


@pytest.mark.parametrize("gateways", [("172.18.0.1",), ("fc00:f853:ccd:e793::1", "172.18.0.1"), (None, "172.18.0.1")])
def test_the_gateway_is_the_ipv4_one(gateways: tuple[str | None, ...]) -> None:
    assert kind.gateway(networks(*gateways)) == "172.18.0.1"


@pytest.mark.parametrize("gateways", [(), (None,), ("fc00::1",)])
def test_without_one_the_remedy_is_named(gateways: tuple[str | None, ...]) -> None:
    with pytest.raises(ClusterError, match="docker network rm kind"):
        kind.gateway(networks(*gateways))


def test_a_missing_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ClusterError, match="`kind` is not on PATH: install it"):
        kind.find("any")
