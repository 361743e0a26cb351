"""Where a cluster keeps its things, which numbers are its own, and whether it lives.

One belief carries everything: a claim is an abstract Unix socket that somebody has bound. The kernel drops it with its
process, also on `kill -9`, so nothing stale is ever believed and no pid file is trusted alone. A cluster lives exactly
while its supervisor holds the claim on its folder; a slot (a small number, from which ports, subnets and names follow)
is claimed in the same way, and so machine-wide, for every user and every state folder. Starting, stopping and cleaning
are left to the supervisor.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

from devcluster.errors import ClusterError

SLOTS = range(64)
_FIRST_PORT = 21000  # below the ports that the kernel hands out by itself (32768 and up)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_home() -> Path:
    """The folder of what can be made again: binaries, base images, built images."""
    return _home("XDG_CACHE_HOME", ".cache")


def _home(variable: str, default: str) -> Path:
    chosen = os.environ.get(variable)
    return (Path(chosen) if chosen else Path.home() / default) / "region-tick"


def clusters_home() -> Path:
    return _home("XDG_STATE_HOME", ".local/state") / "clusters"


def cluster_folder(name: str) -> Path:
    """Raises ClusterError for a name that is not a DNS label of at most 40 characters."""
    if not _NAME.fullmatch(name):
        message = (
            f"cluster name {name!r}: use at most 40 lower-case letters, digits and inner hyphens, for example 'unit-1'"
        )
        raise ClusterError(message)
    return clusters_home() / name


@dataclass(frozen=True, slots=True)
class Layout:
    """What follows from a cluster's folder and slot."""

    folder: Path
    slot: int
    node: bool

    @property
    def identifier(self) -> str:
        """Names everything of the node that the whole machine can see: network namespace, cgroup."""
        return f"region-tick-{self.slot}"

    @property
    def host_address(self) -> str:
        """Where pods, and everybody else, reach a server on the host; loopback where there is no node."""
        return f"10.245.{self.slot}.1" if self.node else "127.0.0.1"

    @property
    def node_address(self) -> str:
        return f"10.245.{self.slot}.2"

    @property
    def pod_range(self) -> str:
        return f"10.244.{self.slot}.0/24"

    @property
    def api_port(self) -> int:
        return _FIRST_PORT + 10 * self.slot

    @property
    def etcd_port(self) -> int:
        return self.api_port + 1

    @property
    def etcd_peer_port(self) -> int:
        return self.api_port + 2

    @property
    def server(self) -> str:
        return f"https://{self.host_address}:{self.api_port}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"


@dataclass(frozen=True, slots=True)
class Record:
    """What a supervisor writes about its cluster, for those who ask later.

    `node_pid` is the node's outer process (0 without a node), `api_server_pid` the API server's (0 while it is down);
    `temporary` clusters belong to a caller and may be swept after its death.
    """

    slot: int
    pid: int
    node: bool
    temporary: bool
    ready: bool = False
    node_pid: int = 0
    api_server_pid: int = 0
    controller_manager_pid: int = 0

    def write(self, folder: Path) -> None:
        partial = folder / "cluster.json.new"
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(folder / "cluster.json")

    @staticmethod
    def read(folder: Path) -> Record | None:
        """None where no supervisor has come that far."""
        try:
            return Record(**json.loads((folder / "cluster.json").read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def layout(self, folder: Path) -> Layout:
        return Layout(folder=folder, slot=self.slot, node=self.node)


class Order(IntEnum):
    """The signals by which a supervisor is told to let its cluster fail, or to mend it."""

    KILL_API_SERVER = signal.SIGUSR1
    START_API_SERVER = signal.SIGUSR2


class Answer(StrEnum):
    """The first word that a supervisor says to who started it; the message of an error follows it."""

    READY = "ready"
    ALREADY = "already"
    ERROR = "error"


def claim(what: str) -> socket.socket | None:
    """Claims `what` until the socket is closed or its process ends; None where another process has it."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0region-tick/{what}")
    except OSError:
        holder.close()
        return None
    return holder


def claim_folder(folder: Path) -> socket.socket | None:
    """The claim on a cluster; None while another supervisor has it."""
    return claim(_folder_key(folder))


def alive(folder: Path) -> bool:
    """Whether a supervisor has the cluster at this moment; asking disturbs nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(f"\0region-tick/{_folder_key(folder)}")
        except ConnectionRefusedError:
            return False
        return True


def _folder_key(folder: Path) -> str:
    # The path itself may be longer than the 107 bytes that a socket's name can have.
    return "cluster/" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]


def claim_slot(slot: int) -> socket.socket | None:
    """The claim on a slot; None where another cluster has it or something else listens on one of its ports."""
    holder = claim(f"slot/{slot}")
    if holder and not all(_is_free(port) for port in range(_FIRST_PORT + 10 * slot, _FIRST_PORT + 10 * slot + 3)):
        holder.close()
        return None
    return holder


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - for a moment, and never listened on
        except OSError:
            return False
        return True


def claim_free_slot() -> tuple[int, socket.socket]:
    """Raises ClusterError where all slots are taken."""
    for slot in SLOTS:
        if holder := claim_slot(slot):
            return slot, holder
    message = f"all {len(SLOTS)} cluster slots are taken: stop clusters with `python -m devcluster down --name NAME`"
    raise ClusterError(message)
