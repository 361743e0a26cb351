"""The programs of a cluster: found where somebody has them, else built once from the pinned Go modules and kept by
version.

Believes `components/*/go.mod` and nothing else about versions. A binary appears in the cache by one rename, under a
lock, so two builders neither see a half-written file nor do the work twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from devcluster import progress
from devcluster.errors import ClusterError
from devcluster.files import exclusively
from devcluster.state import cache_home
from devcluster.toolchain import go_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_COMPONENTS = Path(__file__).resolve().parent / "components"


class Binary(StrEnum):
    """The programs by their own names."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    PROXY = "kube-proxy"
    KUBELET = "kubelet"
    CONTAINERD = "containerd"
    SHIM = "containerd-shim-runc-v2"
    CTR = "ctr"
    PAUSE = "pause"


CONTROL_PLANE = (Binary.ETCD, Binary.API_SERVER, Binary.CONTROLLER_MANAGER)
NODE = (Binary.SCHEDULER, Binary.PROXY, Binary.KUBELET, Binary.CONTAINERD, Binary.SHIM, Binary.CTR, Binary.PAUSE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a binary comes from: a folder under components/, the Go package in it, the version of both."""

    module: Path
    package: str
    version: str
    ldflags: str = "-s -w"


def source_of(binary: Binary) -> Source:
    """Reads the version from the component's go.mod; pause, which is ours, is versioned by the hash of its source."""
    match binary:
        case Binary.ETCD:
            module = _COMPONENTS / "etcd"
            return Source(module, "go.etcd.io/etcd/server/v3", required_version(module, "go.etcd.io/etcd/server/v3"))
        case Binary.API_SERVER | Binary.CONTROLLER_MANAGER | Binary.SCHEDULER | Binary.PROXY | Binary.KUBELET:
            module = _COMPONENTS / "kubernetes"
            version = required_version(module, "k8s.io/kubernetes")
            return Source(module, f"k8s.io/kubernetes/cmd/{binary}", version, _kubernetes_ldflags(version))
        case Binary.CONTAINERD | Binary.SHIM | Binary.CTR:
            module = _COMPONENTS / "containerd"
            version = required_version(module, "github.com/containerd/containerd/v2")
            return Source(module, f"github.com/containerd/containerd/v2/cmd/{binary}", version)
        case Binary.PAUSE:
            module = _COMPONENTS / "pause"
            return Source(module, ".", hashlib.sha256((module / "main.go").read_bytes()).hexdigest()[:12])
        case _:
            assert_never(binary)


def required_version(module: Path, path: str) -> str:
    """The version of `path` that the go.mod in `module` requires, with its v."""
    found = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        message = f"{module / 'go.mod'} does not require {path}"
        raise ClusterError(message)
    return found.group(1)


def _kubernetes_ldflags(version: str) -> str:
    """Without these the server calls itself v0.0.0-master and clients misjudge what it can do (hack/lib/version.sh
    upstream).
    """
    major, minor = version.removeprefix("v").split(".")[:2]
    base = "k8s.io/component-base/version"
    settings = (f"{base}.gitVersion={version}", f"{base}.gitMajor={major}", f"{base}.gitMinor={minor}")
    flags = (*settings, f"k8s.io/client-go/pkg/version.gitVersion={version}")
    return " ".join(["-s -w", *(f"-X {flag}" for flag in flags)])


def ensure(binaries: Iterable[Binary]) -> dict[Binary, Path]:
    """Where each binary is, after building those that are nowhere: minutes of Go the first time, nothing ever after.

    Looks in KUBEBUILDER_ASSETS (the folder that Kubernetes' envtest uses), then in the cache. Raises ClusterError where
    a build fails.
    """
    wanted = list(binaries)
    found = {binary: path for binary in wanted if (path := locate(binary))}
    missing = [binary for binary in wanted if binary not in found]
    for number, binary in enumerate(missing, 1):
        found[binary] = _build(binary, position=f"{number} of {len(missing)}")
    return found


def locate(binary: Binary, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The binary where it is ready to run, None where it has to be built."""
    candidates = [cached_path(binary)]
    if assets := environ.get("KUBEBUILDER_ASSETS"):
        candidates.insert(0, Path(assets) / binary)
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def cached_path(binary: Binary) -> Path:
    return cache_home() / f"{binary}-{source_of(binary).version}" / binary


def _build(binary: Binary, *, position: str) -> Path:
    source, target = source_of(binary), cached_path(binary)
    title = f"building {binary} {source.version} ({position})"
    with exclusively(target.parent):
        if os.access(target, os.X_OK):  # another process built it while we waited for the lock
            return target
        go = go_for(source.module)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder, progress.step(title) as detail:
            built = Path(folder) / binary
            _go_build(go, source, built, detail)
            built.replace(target)
    return target


def _go_build(go: Path, source: Source, output: Path, detail: Callable[[str], None]) -> None:
    """`-v` names each package as it is compiled: the only sign of life of a build that takes minutes."""
    # CGO off: static binaries that need no C compiler. GOTOOLCHAIN: see toolchain.py. GOFLAGS: the pins are not changed
    # in passing.
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    options = ["-v", "-buildvcs=false", "-trimpath", f"-ldflags={source.ldflags}", f"-o={output}"]
    command = [str(go), "build", *options, source.package]
    said: list[str] = []
    with subprocess.Popen(
        command,
        cwd=source.module,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        try:
            for line in build.stderr or ():
                said.append(line)
                detail(f"{len(said)} packages compiled")
        except BaseException:
            build.kill()
            raise
    if build.returncode:
        message = f"building {output.name} {source.version} failed in {source.module}:\n{''.join(said[-30:])}"
        raise ClusterError(message)
