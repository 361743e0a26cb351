"""The plugin beside the real console, for people who may not ask it by the API server's proxy."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from kubectl_region import port_forward
from kubectl_region.console import FORWARD_ROLE, PORT, SERVICE, VIEW_ROLE
from kubectl_region.errors import PluginError
from kubectl_region.kubectl import Kubectl as PluginsKubectl
from region_tick.contract import VERSION
from tests.cluster.plugin import person
from tests.harness.kubectl import kubectl_binary
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.kubectl import Kubectl

pytestmark = pytest.mark.timeout(600)


def is_closed(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_whoever_may_not_use_the_proxy_reaches_the_console_by_a_port_forward(console: Kubectl, tmp_path: Path) -> None:
    viewer = person(console, tmp_path, "looks", VIEW_ROLE)
    done = viewer("version")
    assert (done.returncode, done.stderr) == (0, ""), "by the proxy, without a word"

    ana = person(console, tmp_path, "ana")
    refused = ana("version")
    assert refused.returncode == 1
    assert f"--clusterrole={VIEW_ROLE}" in refused.stderr
    assert f"--clusterrole={FORWARD_ROLE}" in refused.stderr

    user = f"system:serviceaccount:{console.namespace}:ana"
    console("create", "rolebinding", "ana-forwards", f"--clusterrole={FORWARD_ROLE}", f"--user={user}")
    done = eventually(lambda: found if (found := ana("version")).returncode == 0 else None, what="ana is let through")
    assert (done.returncode, f"console: {VERSION}" in done.stdout) == (0, True), done.stderr
    [port] = re.findall(r"by kubectl port-forward, on port (\d+) of this machine", done.stderr)
    assert is_closed(int(port))
    assert "get services region-tick-console" not in viewer("doctor").stdout, "who needs it not is not asked for it"


def test_a_port_forward_carries_answers_until_its_end(
    console: Kubectl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kubectl").symlink_to(kubectl_binary())
    monkeypatch.setenv("PATH", str(tmp_path))
    kubectl = PluginsKubectl((f"--kubeconfig={console.kubeconfig}",), limit_seconds=30)
    with port_forward.port_forward(kubectl, SERVICE, PORT, console.namespace) as forward:
        for _ in range(3):
            assert forward.get("/healthz") == "ok\n"
        with pytest.raises(PluginError, match="404"):
            forward.get("/nothing")
        console("delete", "pod", "--selector", "app.kubernetes.io/component=console", "--grace-period=1")
        eventually(lambda: is_broken(forward), what="the port-forward is broken with its pod")
    assert is_closed(forward.port)


def is_broken(forward: port_forward.PortForward) -> bool:
    try:
        forward.get("/healthz")
    except port_forward.BrokenForwardError:
        return True
    return False
