"""Finds the programs of a cluster, or builds the programs once from pinned Go modules and caches them by version.

`components/*/go.mod` alone decide the versions. The variable KUBERNETES picks an older control plane for the tests:
nodes are of the newest version only. A binary appears in the cache by one rename and under a lock, so two
concurrent builders never see a half-written file and never build the same binary twice.
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
OLDER_KUBERNETES = ("1.31", "1.33")
"""The oldest version that the README promises, and the last one whose API server streams no lists by default."""


class Binary(StrEnum):
    """The programs, by the names of their executables."""

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
    """Where a binary comes from: a folder under components/, a Go package, and the version."""

    module: Path
    package: str
    version: str
    ldflags: str = "-s -w"


def kubernetes_module(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the component that KUBERNETES names, or the newest without KUBERNETES. Raises ClusterError."""
    wanted = environ.get("KUBERNETES")
    if wanted and wanted not in OLDER_KUBERNETES:
        message = f"KUBERNETES={wanted!r} is unknown: use one of {', '.join(OLDER_KUBERNETES)}, or leave it unset"
        raise ClusterError(message)
    return _COMPONENTS / (f"kubernetes-{wanted}" if wanted else "kubernetes")


def source_of(binary: Binary) -> Source:
    """Return a binary's source, with the version from the component's go.mod.

    `pause` is the project's own program, and its version is a hash of its source. Raises ClusterError if KUBERNETES
    names an unknown version, or if a node's program is asked for in an older version.
    """
    match binary:
        case Binary.ETCD:
            module = _COMPONENTS / "etcd"
            return Source(module, "go.etcd.io/etcd/server/v3", required_version(module, "go.etcd.io/etcd/server/v3"))
        case Binary.API_SERVER | Binary.CONTROLLER_MANAGER | Binary.SCHEDULER | Binary.PROXY | Binary.KUBELET:
            module = kubernetes_module()
            if module.name != "kubernetes" and binary not in CONTROL_PLANE:
                message = (
                    f"{binary} is built in the newest version only: leave KUBERNETES unset for a cluster with a node"
                )
                raise ClusterError(message)
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
    """Return the version of the Go module `path` that the go.mod in `module` requires, e.g. v1.2.3.

    Raises ClusterError if go.mod does not require `path`.
    """
    match = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        message = f"{module / 'go.mod'} does not require {path}"
        raise ClusterError(message)
    return match.group(1)


def _kubernetes_ldflags(version: str) -> str:
    """Return the linker flags that set the version of Kubernetes' programs (hack/lib/version.sh upstream).

    Without the flags, the API server reports v0.0.0-master, and clients misjudge the server's features.
    """
    major, minor = version.removeprefix("v").split(".")[:2]
    base = "k8s.io/component-base/version"
    settings = (f"{base}.gitVersion={version}", f"{base}.gitMajor={major}", f"{base}.gitMinor={minor}")
    flags = (*settings, f"k8s.io/client-go/pkg/version.gitVersion={version}")
    return " ".join(["-s -w", *(f"-X {flag}" for flag in flags)])


def ensure(binaries: Iterable[Binary]) -> dict[Binary, Path]:
    """Return the path of each binary, and build the missing binaries first.

    Binaries are looked for in KUBEBUILDER_ASSETS (the folder of Kubernetes' envtest), then in the cache. The first
    build takes minutes; later calls build nothing. Raises ClusterError if a build fails.
    """
    wanted = list(binaries)
    paths = {binary: path for binary in wanted if (path := locate(binary))}
    missing = [binary for binary in wanted if binary not in paths]
    for number, binary in enumerate(missing, 1):
        paths[binary] = _build(binary, position=f"{number} of {len(missing)}")
    return paths


def locate(binary: Binary, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of an existing binary, or None if the binary must be built."""
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
        if os.access(target, os.X_OK):  # another process built the binary while this process waited for the lock
            return target
        go = go_for(source.module)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder, progress.step(title) as detail:
            built = Path(folder) / binary
            go_build(go, source, built, detail)
            built.replace(target)
    return target


def go_build(go: Path, source: Source, output: Path, detail: Callable[[str], None]) -> None:
    """Build a Go package to `output`, and report each compiled package to `detail`. Raises ClusterError.

    The option `-v` prints each compiled package: the only progress report of a build that takes minutes.
    """
    # CGO_ENABLED=0 makes static binaries and needs no C compiler. toolchain.py explains GOTOOLCHAIN. GOFLAGS keeps the
    # build from changing the pinned versions.
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    options = ["-v", "-buildvcs=false", "-trimpath", f"-ldflags={source.ldflags}", f"-o={output}"]
    command = [str(go), "build", *options, source.package]
    output_lines: list[str] = []
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
                output_lines.append(line)
                detail(f"{len(output_lines)} packages compiled")
        except BaseException:
            build.kill()
            raise
    if build.returncode:
        message = f"building {output.name} {source.version} failed in {source.module}:\n{''.join(output_lines[-30:])}"
        raise ClusterError(message)
