"""Makes the configuration files and command lines of the node's programs, which run in namespaces of their own.

One outer process, `unshare`, holds the mount, network and process namespaces. When that process ends, for any reason,
the kernel ends containerd, the kubelet, every shim and every pod, and removes their mounts and nft rules. Inside the
namespaces, /run and /var/log are empty and /var/lib is a copy on write, so that the programs' default paths stay inside
too. The supervisor module starts and stops the programs.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from devcluster import debian
from devcluster.archive import write_scratch_image
from devcluster.binaries import Binary
from devcluster.controlplane import NODE_NAME, User, certificate, kubeconfig
from devcluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devcluster.state import Layout

PAUSE_IMAGE = "localhost/pause:1"
_INSIDE = "/run/node"  # the node's own folder as seen inside; the path is short, because a Unix socket's path must be
_SOCKET = "/run/containerd/containerd.sock"
_LOAD_SECONDS = 300

# $1 is the node's folder, $2 the program that the shell becomes in the end. The folder is bind-mounted before the new
# /run covers the old one, because the folder may be below /run.
_SCRIPT = f"""
set -eu
mkdir -p "$1/run"
mount -t tmpfs tmpfs "$1/run"
mkdir "$1/run/node" "$1/run/netns" "$1/run/upper" "$1/run/work"
mount --bind "$1" "$1/run/node"
mount --no-mtab --move "$1/run" /run
mount -t tmpfs tmpfs /var/log
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work /var/lib
mount --make-rshared /
echo 1 > /proc/sys/net/ipv4/ip_forward
touch {_INSIDE}/ready
exec "$2"
"""


def folder(layout: Layout) -> Path:
    return layout.folder / "node"


def is_made(layout: Layout) -> bool:
    """Tell whether the namespaces are complete and can be entered."""
    return (folder(layout) / "ready").exists()


def holder_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    """Return the command that makes the namespaces and stays inside as their first process."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*command, "sh", "-c", _SCRIPT, "node", str(folder(layout)), str(binaries[Binary.PAUSE])]


def inside(node_pid: int, command: list[str]) -> list[str]:
    """Return the command that runs `command` inside the namespaces of the holder with the pid `node_pid`."""
    # The holder itself stays in the host's process namespace. The new process namespace is for the holder's children.
    namespaces = f"/proc/{node_pid}/ns"
    entry = ["nsenter", f"--net={namespaces}/net", f"--mount={namespaces}/mnt", f"--pid={namespaces}/pid_for_children"]
    return [*entry, *command]


def end(node_pid: int) -> None:
    """Kill all processes inside. The holder ends by itself after the last of the processes."""
    first_inside = Path(f"/proc/{node_pid}/task/{node_pid}/children")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(first_inside.read_text() or node_pid), signal.SIGKILL)


def write_files(layout: Layout) -> None:
    """Write the configuration of containerd, of containerd's network plugin and of the kubelet."""
    home = folder(layout)
    (home / "cni").mkdir(parents=True)
    (home / "cni" / "10-bridge.conflist").write_text(json.dumps(_network_plugins(layout)))
    (home / "containerd.toml").write_text(_containerd_configuration())
    (home / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_configuration(layout)))


def _network_plugins(layout: Layout) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": layout.pod_range}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni/networks",
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def _containerd_configuration() -> str:
    return f"""
version = 3
root = "{_INSIDE}/containerd"
state = "/run/containerd"

[plugins.'io.containerd.internal.v1.opt']
path = "{_INSIDE}/opt"

[grpc]
address = "{_SOCKET}"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "{_INSIDE}/registries"

[plugins.'io.containerd.cri.v1.runtime']
# Without CAP_SYS_RESOURCE, as on many virtual machines, runc may not lower a score and dies of trying.
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{debian.NETWORK_PLUGINS}"]
conf_dir = "{_INSIDE}/cni"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _kubelet_configuration(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.node_address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificate(layout))},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.identifier}",
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "failCgroupV1": False,  # some Debian 12 machines still have cgroup version 1
        "failSwapOn": False,
        "resolvConf": "",
        "volumePluginDir": f"{_INSIDE}/volume-plugins",  # the default is a folder under the host's /usr
        # Disk and memory belong to the developer: the node neither counts nor reclaims disk and memory.
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
        ),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def containerd_command(binaries: Mapping[Binary, Path]) -> list[str]:
    # containerd looks for its shim on PATH. The shim looks for runc, and the plugins look for nft, in folders that a
    # user's PATH may lack.
    path = f"{binaries[Binary.SHIM].parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return ["env", f"PATH={path}", str(binaries[Binary.CONTAINERD]), f"--config={_INSIDE}/containerd.toml"]


def kubelet_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    return [
        str(binaries[Binary.KUBELET]),
        f"--config={_INSIDE}/kubelet.yaml",
        f"--kubeconfig={kubeconfig(layout, User.KUBELET)}",
        f"--root-dir={_INSIDE}/kubelet",
        f"--cert-dir={_INSIDE}/kubelet/pki",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={layout.node_address}",
    ]


def proxy_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    return [
        str(binaries[Binary.PROXY]),
        f"--kubeconfig={kubeconfig(layout, User.PROXY)}",
        f"--hostname-override={NODE_NAME}",
        f"--cluster-cidr={layout.pod_range}",
        "--proxy-mode=nftables",
        # The next three settings belong to the whole machine, so kube-proxy must not change them.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def containerd_listens(node_pid: int) -> bool:
    return Path(f"/proc/{node_pid}/root{_SOCKET}").exists()


def load_image(node_pid: int, binaries: Mapping[Binary, Path], archive: Path) -> None:
    """Load an image archive (docker's or OCI's) into the containerd namespace that the kubelet uses.

    Raises ClusterError if containerd refuses the archive.
    """
    # The archive is passed on standard input, because its folder may be hidden inside the namespaces.
    command = [str(binaries[Binary.CTR]), f"--address={_SOCKET}", "--namespace=k8s.io", "images", "import", "-"]
    with archive.open("rb") as content:
        done = subprocess.run(
            inside(node_pid, command), stdin=content, capture_output=True, text=True, check=False, timeout=_LOAD_SECONDS
        )
    if done.returncode:
        message = f"containerd did not take the image archive {archive}: {done.stderr.strip()}"
        raise ClusterError(message)


def allow_plain_http(layout: Layout, registry: str) -> None:
    """Have containerd pull from `registry`, for example 10.0.0.1:5000, by plain HTTP, from the next pull on.

    Without this, containerd pulls by HTTPS only (containerd's docs/hosts.md).
    """
    home = folder(layout) / "registries" / registry
    home.mkdir(parents=True, exist_ok=True)
    (home / "hosts.toml").write_text(f"""[host."http://{registry}"]\ncapabilities = ["pull", "resolve"]\n""")


def write_pause_archive(layout: Layout, binaries: Mapping[Binary, Path]) -> Path:
    """Write the archive of the pause image, which each pod's sandbox runs, and return its path."""
    target = folder(layout) / "pause.tar"
    write_scratch_image(binaries[Binary.PAUSE], tag=PAUSE_IMAGE, architecture=_architecture(), target=target)
    return target


def _architecture() -> str:
    """Return the machine's architecture by the name that Go and images use."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
