"""Makes and removes what the whole machine sees of a node: a veth pair, a route, an empty cgroup in each hierarchy.

The node's network namespace has no name, so the namespace ends with the node's processes. The veth pair and the route
end with the namespace. After a crash, only the cgroups are left. This module needs root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from devcluster.state import Layout

_REMOVE_SECONDS = 20.0


def make(layout: Layout, node_pid: int) -> None:
    """Connect the network namespace of the process `node_pid` to the host, and set addresses and routes."""
    pair, inside = layout.identifier, ("nsenter", f"--net=/proc/{node_pid}/ns/net")
    _run("ip", "link", "add", pair, "type", "veth", "peer", "name", "eth0", "netns", str(node_pid))
    _run("ip", "address", "add", f"{layout.host_address}/30", "dev", pair)
    _run("ip", "link", "set", pair, "up")
    _run(*inside, "ip", "link", "set", "lo", "up")
    _run(*inside, "ip", "address", "add", f"{layout.node_address}/30", "dev", "eth0")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    _run(*inside, "ip", "route", "add", "default", "via", layout.host_address)
    _run("ip", "route", "add", layout.pod_range, "via", layout.node_address)


def make_cgroups(layout: Layout) -> None:
    """Make the node's cgroup in every hierarchy, with every controller of cgroup version 2.

    The kubelet expects an existing cgroupRoot, in every hierarchy of version 1 and with every controller of version 2.
    """
    for hierarchy in _hierarchies():
        with contextlib.suppress(OSError):  # version 1 has no such files; the kubelet reports missing controllers
            controllers = (hierarchy / "cgroup.controllers").read_text().split()
            (hierarchy / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
        (hierarchy / layout.identifier).mkdir(exist_ok=True)


def remove(layout: Layout) -> None:
    """Remove the veth pair and the cgroups, if any. The node's processes must have been told to end.

    Raises ClusterError if a cgroup is still in use after 20 s.
    """
    if Path(f"/sys/class/net/{layout.identifier}").exists():
        # The kernel may remove the pair at the same moment, with the namespace. A failure here is therefore no error.
        subprocess.run(["ip", "link", "delete", layout.identifier], capture_output=True, check=False, timeout=30)
    deadline = time.monotonic() + _REMOVE_SECONDS
    for hierarchy in _hierarchies():
        _remove_cgroup(hierarchy / layout.identifier, deadline)


def _remove_cgroup(root: Path, deadline: float) -> None:
    """Remove a cgroup and its children, the leaves first: only a cgroup without children can be removed.

    A killed process holds its cgroup for a moment, so a removal that fails is tried again until `deadline`
    (time.monotonic()). Raises ClusterError after `deadline`.
    """
    for folder, _, _ in os.walk(root, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    message = (
                        f"cgroup {folder} is still in use: {error}; end the processes in its cgroup.procs and try again"
                    )
                    raise ClusterError(message) from error
                time.sleep(0.05)


def _hierarchies() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        message = f"`{' '.join(command)}` failed: {done.stderr.strip()}"
        raise ClusterError(message)
