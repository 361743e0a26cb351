"""Installs the programs that come from Debian's packages: reports which are missing and why, and installs only those.

A command on PATH is good enough, whatever its origin. Packages are installed only if this process is root, and by one
process of ours at a time, because apt-get does not wait for another apt-get. A package that would start a service is
extracted into the cache instead.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devcluster import progress
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home

NETWORK_PLUGINS = "/usr/lib/cni"
_INSTALL_SECONDS = 1200


@dataclass(frozen=True, slots=True)
class Part:
    """A command, a program by its absolute path, or a library, with its Debian package and its purpose."""

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
GITOPS = (
    Part("git", "git", "makes the repositories that Argo CD follows, and fetches from them"),
    Part("redis-server", "redis-server", "is the cache of Argo CD"),
)
IMAGES = (
    Part("buildah", "buildah", "builds images from Dockerfiles"),
    Part("debootstrap", "debootstrap", "makes the images' base from Debian's packages"),
)
RELEASE = (Part("skopeo", "skopeo", "pushes images to a registry by digest"),)


def complete_path() -> None:
    """Add the sbin folders to this process's PATH: a root shell from plain `su` lacks these folders."""
    folders = os.environ.get("PATH", "").split(":")
    missing_folders = [folder for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin") if folder not in folders]
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
    """Install the missing packages and print which. If not possible, raise ClusterError with the command to run."""
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
    with exclusively(cache_home() / "debian"), progress.step(f"installing from Debian: {' '.join(packages)}"):
        if missing(parts):  # another process installed them while this process waited for the lock
            _install(packages)


def extract(package: str) -> Path:
    """Return a folder with a package's files, from `usr` on. They are fetched once, and nothing is installed.

    What the package depends on is left to the caller. Raises ClusterError.
    """
    folder = cache_home() / "debian-packages" / package
    with exclusively(cache_home() / "debian"):
        if not folder.exists():
            with progress.step(f"fetching from Debian: {package}"):
                _fetch(package, folder)
    return folder


def _fetch(package: str, folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ClusterError(f"{package} comes from Debian's packages, and there is no apt-get: use Debian or Ubuntu")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        command = ["download", "--quiet", package]
        fetched = _apt_get(command, dict(os.environ), folder=work)
        if fetched.returncode:  # without lists of packages, as on a fresh machine, or with old ones
            _apt_get(["update", "--quiet"], dict(os.environ))
            fetched = _apt_get(command, dict(os.environ), folder=work)
        if fetched.returncode:
            raise ClusterError(f"`apt-get download {package}` failed:\n{fetched.stderr.strip()}")
        [archive] = Path(work).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", archive, f"{work}/files"], check=True, timeout=_INSTALL_SECONDS)
        Path(work, "files").rename(folder)


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # `apt-get update` fails if any package source does not answer, even an unneeded source. Only the result of the
    # installation counts.
    update = _apt_get(["update", "--quiet"], environment)
    install = _apt_get(["install", "--quiet", "--yes", "--no-install-recommends", *packages], environment)
    if install.returncode:
        message = f"`apt-get install {' '.join(packages)}` failed:\n{update.stderr.strip()}\n{install.stderr.strip()}"
        raise ClusterError(message)


def _apt_get(
    arguments: list[str], environment: dict[str, str], *, folder: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_INSTALL_SECONDS,
    )
