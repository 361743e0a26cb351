"""What the node is told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import node
from devcluster.binaries import Binary
from devcluster.state import Layout

BINARIES = {binary: Path("/programs") / binary for binary in Binary}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(folder=tmp_path, slot=7, node=True)
    node.write_files(made)
    return made


def test_pods_get_addresses_of_the_slot(layout: Layout) -> None:
    plugins = json.loads((node.folder(layout) / "cni" / "10-bridge.conflist").read_text())
    assert plugins["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.7.0/24"}]]


def test_containerd_keeps_everything_inside_and_never_pulls_its_sandbox(layout: Layout) -> None:
    said: dict[str, Any] = tomllib.loads((node.folder(layout) / "containerd.toml").read_text())
    paths = [
        said["root"],
        said["state"],
        said["grpc"]["address"],
        said["plugins"]["io.containerd.internal.v1.opt"]["path"],
    ]
    assert all(path.startswith("/run/") for path in paths)
    assert said["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == node.PAUSE_IMAGE


def test_the_kubelet_lets_nobody_in_unknown_and_uses_its_own_cgroup(layout: Layout) -> None:
    said = yaml.safe_load((node.folder(layout) / "kubelet.yaml").read_text())
    assert said["authentication"]["anonymous"] == {"enabled": False}
    assert said["authorization"] == {"mode": "Webhook"}
    assert said["cgroupRoot"] == "/region-tick-7"
    assert said["address"] == "10.245.7.2"


def test_kube_proxy_leaves_the_machines_settings_alone(layout: Layout) -> None:
    said = node.proxy_command(layout, BINARIES)
    assert {part for part in said if part.startswith("--conntrack")} == {
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    }


def test_every_program_enters_all_three_namespaces() -> None:
    command = node.inside(42, ["kubelet"])
    assert command == [
        "nsenter",
        "--net=/proc/42/ns/net",
        "--mount=/proc/42/ns/mnt",
        "--pid=/proc/42/ns/pid_for_children",
        "kubelet",
    ]
