"""What of a node the rest of the machine can see: one veth pair, one route, one empty cgroup in each hierarchy.

Believes that the node's network namespace has no name: it goes with the node's processes, and the pair and the route
with it, so a crash leaves the cgroups alone. Needs root.
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
    """Joins the network namespace of `node_pid` to the host and gives it addresses."""
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
    """The kubelet wants its cgroupRoot to be there already, in every hierarchy of version 1, with every controller of
    version 2.
    """
    for hierarchy in _hierarchies():
        with contextlib.suppress(OSError):  # version 1 has no such files; what the kubelet then misses, it names
            controllers = (hierarchy / "cgroup.controllers").read_text().split()
            (hierarchy / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in controllers))
        (hierarchy / layout.identifier).mkdir(exist_ok=True)


def remove(layout: Layout) -> None:
    """Removes what is there of all that; the node's processes must have been told to end.

    Raises ClusterError where a cgroup is still in use after 20 s.
    """
    if Path(f"/sys/class/net/{layout.identifier}").exists():
        # The kernel may take it away at this very moment, with its namespace: then there is nothing to complain of.
        subprocess.run(["ip", "link", "delete", layout.identifier], capture_output=True, check=False, timeout=30)
    deadline = time.monotonic() + _REMOVE_SECONDS
    for hierarchy in _hierarchies():
        _remove_cgroup(hierarchy / layout.identifier, deadline)


def _remove_cgroup(root: Path, deadline: float) -> None:
    """From the leaves up, as only an empty cgroup can go; processes that are being killed hold theirs for a moment."""
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
