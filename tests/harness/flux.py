"""Runs Flux' source-controller and kustomize-controller as processes, with an administrator's rights in a cluster.

Flux in a cluster has these rights too, unless its Kustomizations name a ServiceAccount.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from devcluster.ports import free_port
from tests.harness.attached import attached
from tests.harness.go_program import go_program, module_folder
from tests.harness.kubectl import Kubectl
from tests.harness.registry import Blob
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from devcluster.local import LocalCluster
    from tests.harness.registry import Registry

SOURCE, KUSTOMIZE = "source-controller", "kustomize-controller"
NAMESPACE = "flux-system"
CONFIG_TYPE = "application/vnd.cncf.flux.config.v1+json"
CONTENT_TYPE = "application/vnd.cncf.flux.content.v1.tar+gzip"
START_SECONDS = 60


@contextmanager
def flux(cluster: LocalCluster, folder: Path) -> Iterator[None]:
    """Run Flux until the end of the block, or of this process. `folder` is for its logs and artifacts."""
    kubectl = Kubectl(cluster.kubeconfig, NAMESPACE)
    for part in (SOURCE, KUSTOMIZE):
        kubectl(
            "apply", "--server-side", "-f", str(module_folder("flux", f"github.com/fluxcd/{part}") / "config/crd/bases")
        )
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_NAMESPACE))
    storage = f"127.0.0.1:{free_port()}"
    store = (f"--storage-path={folder}", f"--storage-addr={storage}", f"--storage-adv-addr={storage}")
    with (
        _controller(SOURCE, cluster, folder, *store),
        _controller(KUSTOMIZE, cluster, folder, "--requeue-dependency=2s", "--concurrent=20"),
    ):
        yield


@contextmanager
def _controller(part: str, cluster: LocalCluster, folder: Path, *options: str) -> Iterator[None]:
    health, log = f"127.0.0.1:{free_port()}", folder / f"{part}.log"
    command: list[str | Path] = [go_program(f"flux/{part}"), f"--health-addr={health}", "--metrics-addr=0", *options]
    environment = {"KUBECONFIG": str(cluster.kubeconfig), "RUNTIME_NAMESPACE": NAMESPACE, "TMPDIR": str(folder)}
    with attached(command, log=log, environment=environment):
        eventually(lambda: _is_ready(health), what=f"{part} is ready ({log})", seconds=START_SECONDS)
        yield


_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def push(registry: Registry, repository: str, files: Mapping[str, bytes]) -> str:
    """Push files, by their paths, as `flux push artifact` does. Return the digest of the artifact."""
    layer = Blob(media_type=CONTENT_TYPE, content=_archive(files))
    config = Blob(media_type=CONFIG_TYPE, content=b"{}")
    return registry.push(repository, tag="latest", config=config, layer=layer)


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def files_below(root: Path, *folders: str) -> dict[str, bytes]:
    """Return the files in folders of `root`, by their paths from `root`. Flux' artifacts have no symbolic links."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
