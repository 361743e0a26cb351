"""The parts that come from Debian's packages: says which are missing and what for, and installs those and no others.

Believes that a command on the path is good enough, wherever it came from; packages are touched by root only.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from devcluster import progress
from devcluster.errors import ClusterError

NETWORK_PLUGINS = "/usr/lib/cni"
_INSTALL_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class Part:
    """A command, a program by its absolute path, or a library, with the package that has it and what we do with it."""

    provides: str
    package: str
    purpose: str


CONTROL_PLANE = (
    Part("openssl", "openssl", "makes the cluster's certificate"),
    Part("setpriv", "util-linux", "ends the cluster's processes with their supervisor"),
)
NODE = (
    *CONTROL_PLANE,
    Part("unshare", "util-linux", "makes the node's namespaces"),
    Part("nsenter", "util-linux", "enters the node's namespaces"),
    Part("ip", "iproute2", "joins the node's network to the host's"),
    Part("nft", "nftables", "carries kube-proxy's rules for Services"),
    Part("runc", "runc", "starts containers"),
    Part(f"{NETWORK_PLUGINS}/bridge", "containernetworking-plugins", "gives pods their network"),
)
POSTGRES = tuple(
    Part(library, package, "is a library that Postgres of another version than the environment's needs")
    for library, package in (
        ("liblz4.so.1", "liblz4-1"),
        ("libxml2.so.2", "libxml2"),
        ("libgssapi_krb5.so.2", "libgssapi-krb5-2"),
    )
)
TESTS = (Part("pgbouncer", "pgbouncer", "stands between tests and Postgres, as it does for many users"),)
IMAGES = (
    Part("buildah", "buildah", "builds images from Dockerfiles"),
    Part("debootstrap", "debootstrap", "makes the images' base from Debian's packages"),
)


def complete_path() -> None:
    """Puts the folders for administration on this process's PATH: a root shell made by plain `su` lacks them."""
    folders = os.environ.get("PATH", "").split(":")
    missing_folders = [one for one in ("/usr/local/sbin", "/usr/sbin", "/sbin") if one not in folders]
    os.environ["PATH"] = ":".join([*folders, *missing_folders])


def missing(parts: tuple[Part, ...]) -> list[Part]:
    return [part for part in parts if not _is_there(part.provides)]


def _is_there(name: str) -> bool:
    if ".so." not in name:
        return shutil.which(name) is not None
    with suppress(OSError):
        return ctypes.CDLL(name) is not None
    return False


def ensure(parts: tuple[Part, ...]) -> None:
    """Installs what is missing, saying so; raises ClusterError with the command to run where it may or can not."""
    absent = missing(parts)
    if not absent:
        return
    packages = sorted({part.package for part in absent})
    why = "\n".join(f"  {part.provides} (package {part.package}): {part.purpose}" for part in absent)
    if os.geteuid() or not shutil.which("apt-get"):
        command = f"apt-get install {' '.join(packages)}"
        message = f"these programs are missing:\n{why}\nInstall them, on Debian and Ubuntu as root: {command}"
        raise ClusterError(message)
    progress.console.print(f"Missing:\n{why}", markup=False)
    with progress.step(f"installing from Debian: {' '.join(packages)}"):
        _install(packages)


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # An update fails for any one source that does not answer, which need not be the one we need: the install has the
    # last word.
    update = _apt_get(["update", "--quiet"], environment)
    install = _apt_get(["install", "--quiet", "--yes", "--no-install-recommends", *packages], environment)
    if install.returncode:
        message = f"`apt-get install {' '.join(packages)}` failed:\n{update.stderr.strip()}\n{install.stderr.strip()}"
        raise ClusterError(message)


def _apt_get(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_INSTALL_SECONDS,
    )
