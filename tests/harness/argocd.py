"""Runs a real Argo CD beside a test's cluster: its application controller, its repo-server and a Redis, as processes.

Argo CD is set up by the settings of its own release, and by what docs/gitops.md asks for. Its API server and its user
interface are not there. What an action of the user interface does, `ArgoCd.act` does by Argo CD's own code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from devcluster import debian
from devcluster.ports import free_port
from tests.harness.attached import attached
from tests.harness.go_program import go_program, module_folder
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAMESPACE = "argocd"
MODULE = "github.com/argoproj/argo-cd/v3"
SETTINGS = CHECKOUT / "manifests/gitops/argocd-cm.yaml"
EXCLUSIONS = "resource.exclusions"
OWN_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "default"},
    "spec": {
        "sourceRepos": ["*"],
        "destinations": [{"namespace": "*", "server": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    },
}
"""The project that Argo CD's API server would make."""
PARTS = ("argocd-application-controller", "argocd-repo-server", "argocd-action", "argocd-actions", "kustomize")
RESYNC_SECONDS = 30
ACTION_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ArgoCd:
    """A running Argo CD. `kubectl` is in its namespace. `redis` and `metrics` are ports, of the Redis and of the
    application controller's metrics.
    """

    kubectl: Kubectl
    programs: Path
    redis: int
    metrics: int

    def metric(self, name: str) -> float:
        """Return a metric of the application controller, summed over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def act(self, scheduler: Kubectl, action: str) -> None:
        """Do an action at RegionScheduler `default` of a namespace, as Argo CD's API server does."""
        patch = self._ask("argocd-action", scheduler, action)
        scheduler("patch", "rsched", "default", "--type=merge", "--patch", json.dumps(patch))

    def offers(self, scheduler: Kubectl) -> set[str]:
        """Return the actions that can be done at RegionScheduler `default` of a namespace."""
        actions = self._ask("argocd-actions", scheduler)
        return {action["name"] for action in actions if not action.get("disabled")}

    def _ask(self, part: str, scheduler: Kubectl, *arguments: str) -> Any:
        done = subprocess.run(
            [self.programs / part, *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubectl.kubeconfig)},
            input=json.dumps(scheduler.get("rsched", "default")),
            capture_output=True,
            text=True,
            check=False,
            timeout=ACTION_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def argocd(kubeconfig: Path, folder: Path, settings: Mapping[str, str | None] | None = None) -> Iterator[ArgoCd]:
    """Install Argo CD into a cluster and run it until the end of the block. `folder` is for its files and logs.

    `settings` are put into its argocd-cm; None takes one away. A cluster that has Argo CD already keeps Applications.
    """
    debian.complete_path()
    debian.ensure(debian.GITOPS)
    folder.mkdir()
    redis, repo_server, metrics = free_port(), free_port(), free_port()
    argo = ArgoCd(Kubectl(kubeconfig, NAMESPACE), _programs(folder / "bin"), redis, metrics)
    _install(argo.kubectl, settings or {})
    environment = {
        "PATH": f"{argo.programs}:{os.environ['PATH']}",
        "KUBECONFIG": str(_kubeconfig(kubeconfig, folder / "kubeconfig")),
        "TMPDIR": str(folder),  # repo-server clones repositories there
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
    }
    address = f"--redis=127.0.0.1:{redis}"
    with ExitStack() as running:

        def start(name: str, port: int, *arguments: str) -> None:
            program = shutil.which(name, path=environment["PATH"]) or name
            running.enter_context(attached([program, *arguments], log=folder / f"{name}.log", environment=environment))
            eventually(lambda: _listens(port), what=f"{name} listens", seconds=120)

        nothing_on_disk = ("--save", "", "--appendonly", "no", "--dir", str(folder))
        start("redis-server", redis, "--bind", "127.0.0.1", "--port", str(redis), *nothing_on_disk)
        start(
            *("argocd-repo-server", repo_server, address, f"--port={repo_server}", "--address=127.0.0.1"),
            *("--disable-tls", f"--metrics-port={free_port()}", "--metrics-address=127.0.0.1"),
        )
        start(
            *("argocd-application-controller", metrics, address, f"--repo-server=127.0.0.1:{repo_server}"),
            *("--repo-server-plaintext", f"--app-resync={RESYNC_SECONDS}", "--app-resync-jitter=0"),
            *(f"--metrics-port={metrics}", "--persist-resource-health"),
        )
        yield argo


def uninstall(kubectl: Kubectl) -> None:
    """Delete what `argocd` installed into a cluster; the cluster takes its time for that."""
    kubectl("delete", "--kustomize", str(_manifests() / "crds"), "--wait=false")
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def documented_exclusions() -> str:
    """Return what docs/gitops.md has people add to the exclusions."""
    found = re.search(r"```yaml\n(- apiGroups:.*?)```", (CHECKOUT / "docs/gitops.md").read_text(), re.DOTALL)
    assert found, "docs/gitops.md has no list of exclusions"
    return found[1]


def excluding(more: str) -> dict[str, str]:
    """Return the setting by which Argo CD excludes what `more` lists too, beside what its own release excludes."""
    shipped = yaml.safe_load((_manifests() / "base/config/argocd-cm.yaml").read_text())
    return {EXCLUSIONS: shipped["data"][EXCLUSIONS] + more}


def _programs(folder: Path) -> Path:
    """Make a folder with the parts of the one program, by the names that the parts are started with."""
    folder.mkdir()
    program = go_program("argocd")
    for part in PARTS:
        (folder / part).symlink_to(program)
    return folder


def _kubeconfig(original: Path, copy: Path) -> Path:
    """Copy a kubeconfig, with Argo CD's namespace as the context's."""
    content = yaml.safe_load(original.read_text())
    for context in content["contexts"]:
        context["context"]["namespace"] = NAMESPACE
    copy.write_text(yaml.safe_dump(content))
    copy.chmod(0o600)
    return copy


def _install(kubectl: Kubectl, settings: Mapping[str, str | None]) -> None:
    manifests = _manifests()
    kubectl("apply", "-f", "-", stdin=json.dumps(OWN_NAMESPACE))
    kubectl("apply", "--server-side", "--kustomize", str(manifests / "crds"))
    kubectl("apply", "--kustomize", str(manifests / "base/config"))
    kubectl("patch", "configmap", "argocd-cm", "--patch-file", str(SETTINGS))
    kubectl("patch", "configmap", "argocd-cm", "--type=merge", "--patch", json.dumps({"data": settings}))
    kubectl("patch", "secret", "argocd-secret", "--patch", '{"stringData": {"server.secretkey": "of a test"}}')
    served = "applications.argoproj.io,appprojects.argoproj.io"
    eventually(lambda: not kubectl.fails("get", served), what=f"{served} are served", seconds=120)
    kubectl("apply", "-f", "-", stdin=json.dumps(PROJECT))


def _manifests() -> Path:
    return module_folder("argocd", MODULE) / "manifests"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
