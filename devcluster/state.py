"""Knows each cluster's folder, slot and record, and whether the cluster is alive.

Everything rests on claims. A claim is a bound abstract Unix socket. The kernel removes the socket with its process,
even on `kill -9`, so a claim is never stale, and no pid file is trusted alone. A cluster is alive exactly while its
supervisor holds the claim on the cluster's folder. A slot is a small number that determines ports, subnets and names.
A slot is claimed in the same way. The claims are machine-wide: all users and all state folders share them. The
supervisor module starts, stops and cleans up clusters.
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
_FIRST_PORT = 21000  # below the ports that the kernel assigns to outgoing connections (32768 and up)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_home() -> Path:
    """Return the folder for files that can be made again: binaries, base images, built images."""
    return _home("XDG_CACHE_HOME", ".cache")


def _home(variable: str, default: str) -> Path:
    chosen = os.environ.get(variable)
    return (Path(chosen) if chosen else Path.home() / default) / "region-tick"


def clusters_home() -> Path:
    return _home("XDG_STATE_HOME", ".local/state") / "clusters"


def cluster_folder(name: str) -> Path:
    """Return a cluster's folder. Raises ClusterError if `name` is not a DNS label of at most 40 characters."""
    if not _NAME.fullmatch(name):
        message = (
            f"cluster name {name!r}: use at most 40 lower-case letters, digits and inner hyphens, for example 'unit-1'"
        )
        raise ClusterError(message)
    return clusters_home() / name


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths, addresses and ports that follow from a cluster's folder and slot."""

    folder: Path
    slot: int
    node: bool

    @property
    def identifier(self) -> str:
        """The name of the node's veth pair and cgroups, which the whole machine sees."""
        return f"region-tick-{self.slot}"

    @property
    def host_address(self) -> str:
        """The address at which pods and all others reach a server on the host: loopback without a node."""
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
    """What a supervisor writes about its cluster into the cluster's folder, for callers."""

    slot: int
    pid: int
    """The supervisor's process id."""
    node: bool
    temporary: bool
    """Whether the cluster belongs to a caller: leftovers may be removed after the caller's death."""
    ready: bool = False
    node_pid: int = 0
    """The process id of the node's outer process; 0 without a node."""
    api_server_pid: int = 0
    """The process id of the API server; 0 while the API server is down."""
    controller_manager_pid: int = 0

    def write(self, folder: Path) -> None:
        partial = folder / "cluster.json.new"
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(folder / "cluster.json")

    @staticmethod
    def read(folder: Path) -> Record | None:
        """Return the folder's record, or None if no supervisor has written a record yet."""
        try:
            return Record(**json.loads((folder / "cluster.json").read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def layout(self, folder: Path) -> Layout:
        return Layout(folder=folder, slot=self.slot, node=self.node)


class Order(IntEnum):
    """The signals that tell a supervisor to break its cluster or to repair its cluster."""

    KILL_API_SERVER = signal.SIGUSR1
    START_API_SERVER = signal.SIGUSR2


class Answer(StrEnum):
    """The first word of a supervisor's answer to its caller. After ERROR, a message follows."""

    READY = "ready"
    ALREADY = "already"
    ERROR = "error"


def claim(name: str) -> socket.socket | None:
    """Claim `name` until the returned socket is closed or its process ends.

    Return None if another process holds the claim.
    """
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(f"\0region-tick/{name}")
    except OSError:
        holder.close()
        return None
    return holder


def claim_folder(folder: Path) -> socket.socket | None:
    """Claim a cluster's folder. Return None while another process holds the claim."""
    return claim(_folder_key(folder))


def alive(folder: Path) -> bool:
    """Tell whether a supervisor holds the claim on the cluster's folder now. The question has no side effect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(f"\0region-tick/{_folder_key(folder)}")
        except ConnectionRefusedError:
            return False
        return True


def _folder_key(folder: Path) -> str:
    # The key is a hash, because the path may be longer than the 107 bytes of a socket's name.
    return "cluster/" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]


def claim_slot(slot: int) -> socket.socket | None:
    """Claim a slot. Return None if another cluster holds the slot, or if one of the slot's ports is in use."""
    holder = claim(f"slot/{slot}")
    if holder and not all(_is_free(port) for port in range(_FIRST_PORT + 10 * slot, _FIRST_PORT + 10 * slot + 3)):
        holder.close()
        return None
    return holder


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - bound for a moment, and never listening
        except OSError:
            return False
        return True


def claim_free_slot() -> tuple[int, socket.socket]:
    """Claim the first free slot, and return its number and its claim. Raises ClusterError if all slots are taken."""
    for slot in SLOTS:
        if holder := claim_slot(slot):
            return slot, holder
    message = f"all {len(SLOTS)} cluster slots are taken: stop clusters with `python -m devcluster down --name NAME`"
    raise ClusterError(message)
