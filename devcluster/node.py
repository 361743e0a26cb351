"""What the node's programs are told: their files and command lines, all inside namespaces of the node's own.

Believes in one outer process, `unshare`, that holds the mount, network and process namespaces: when it goes, for
whatever reason, the kernel ends containerd, the kubelet, every shim and every pod, and takes their mounts and nft rules
with it. Inside, /run and /var/log are empty and /var/lib is a copy on write, so that default paths stay inside too.
Starting and stopping is the supervisor's.
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
_INSIDE = "/run/node"  # the node's own folder, as seen inside: short, because the path of a Unix socket must be
_SOCKET = "/run/containerd/containerd.sock"
_LOAD_SECONDS = 300

# $1 is the node's folder, $2 the program to stay as. The folder is bound before /run is covered, in case it stands
# there.
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
    """Whether the namespaces stand and can be entered."""
    return (folder(layout) / "ready").exists()


def holder_command(layout: Layout, binaries: Mapping[Binary, Path]) -> list[str]:
    """Makes the namespaces and stays in them as their first process."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*command, "sh", "-c", _SCRIPT, "node", str(folder(layout)), str(binaries[Binary.PAUSE])]


def inside(node_pid: int, command: list[str]) -> list[str]:
    """The command, run in the namespaces of the holder with that pid."""
    # The holder itself stays in the host's process namespace; the one that it made is the one for its children.
    spaces = f"/proc/{node_pid}/ns"
    return ["nsenter", f"--net={spaces}/net", f"--mount={spaces}/mnt", f"--pid={spaces}/pid_for_children", *command]


def end(node_pid: int) -> None:
    """Kills everything inside; the holder ends by itself when the kernel has buried the last of it."""
    first_inside = Path(f"/proc/{node_pid}/task/{node_pid}/children")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(first_inside.read_text() or node_pid), signal.SIGKILL)


def write_files(layout: Layout) -> None:
    """Configuration of containerd, its network plugin and the kubelet."""
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
        "failCgroupV1": False,  # Debian 12 machines with version 1 are still about
        "failSwapOn": False,
        "resolvConf": "",
        "volumePluginDir": f"{_INSIDE}/volume-plugins",  # else a folder under the host's /usr
        # The disk and the memory are the developer's own: the node neither counts them nor cleans up for want of them.
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
        ),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def containerd_command(binaries: Mapping[Binary, Path]) -> list[str]:
    # containerd looks for its shim on PATH, and the shim for runc and the plugins for nft in folders that a user's PATH
    # may lack.
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
        # These three are the whole machine's settings, and not ours to change.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def containerd_listens(node_pid: int) -> bool:
    return Path(f"/proc/{node_pid}/root{_SOCKET}").exists()


def load_image(node_pid: int, binaries: Mapping[Binary, Path], archive: Path) -> None:
    """Reads an image archive (docker's or OCI's) into what the kubelet takes its images from.

    Raises ClusterError where containerd refuses it.
    """
    # On standard input, as the archive may stand in a folder that is covered inside.
    command = [str(binaries[Binary.CTR]), f"--address={_SOCKET}", "--namespace=k8s.io", "images", "import", "-"]
    with archive.open("rb") as content:
        done = subprocess.run(
            inside(node_pid, command), stdin=content, capture_output=True, text=True, check=False, timeout=_LOAD_SECONDS
        )
    if done.returncode:
        message = f"containerd did not take the image archive {archive}: {done.stderr.strip()}"
        raise ClusterError(message)


def write_pause_archive(layout: Layout, binaries: Mapping[Binary, Path]) -> Path:
    """The archive of the image that each pod's sandbox runs."""
    target = folder(layout) / "pause.tar"
    write_scratch_image(binaries[Binary.PAUSE], tag=PAUSE_IMAGE, architecture=_architecture(), target=target)
    return target


def _architecture() -> str:
    """As images name it, which is as Go does."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
