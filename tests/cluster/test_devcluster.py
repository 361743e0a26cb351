"""devcluster itself: real clusters that come up, do what they are for, and leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devcluster import ClusterError, LocalCluster, images, start_local
from devcluster.binaries import CONTROL_PLANE, NODE, Binary, ensure, source_of
from devcluster.state import Record, alive, cluster_folder
from devcluster.toolchain import go_for
from tests.harness.kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Kubernetes


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Outside of the tests' own time."""
    ensure((*CONTROL_PLANE, *NODE))


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that no cluster of the developer's is seen, swept or stopped."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CLUSTER", "local")


def eventually(check: Callable[[], bool], *, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass(frozen=True, slots=True)
class Traces:
    """By what a cluster could be found again on this machine, noted while it runs."""

    folder: Path
    identifier: str
    pod_range: str
    namespaces: frozenset[str]

    @staticmethod
    def of(cluster: LocalCluster) -> Traces:
        record = Record.read(cluster.layout.folder)
        assert record is not None
        spaces: set[str] = set()
        if record.node_pid:
            own = Path(f"/proc/{record.node_pid}/ns")
            spaces = {str((own / kind).readlink()) for kind in ("net", "mnt", "pid_for_children")}
        return Traces(cluster.layout.folder, cluster.layout.identifier, cluster.layout.pod_range, frozenset(spaces))

    def left(self) -> list[str]:
        """Everything of the cluster that is still there."""
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder) in line]
        links = [str(path) for path in Path("/sys/class/net").iterdir() if path.name == self.identifier]
        routes = [line for line in run("ip", "route").splitlines() if self.pod_range in line]
        cgroups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{self.identifier}")]
        folders = [str(self.folder)] if self.folder.exists() else []
        return [*self._processes(), *mounts, *links, *routes, *cgroups, *folders]

    def _processes(self) -> Iterator[str]:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile, or is not ours to look at
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.folder) in command or self.namespaces & self._namespaces_of(process):
                    yield f"{process.name}: {command}"

    @staticmethod
    def _namespaces_of(process: Path) -> set[str]:
        return {str((process / "ns" / kind).readlink()) for kind in ("net", "mnt", "pid")}


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def devcluster(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devcluster", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=600)


def supervisor_pid(folder: Path) -> int:
    record = Record.read(folder)
    assert record is not None
    return record.pid


def audited(cluster: LocalCluster, user_agent: str) -> list[tuple[str, str]]:
    events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    own = [event for event in events if event["userAgent"].startswith(user_agent)]
    return [(event["verb"], event["objectRef"]["resource"]) for event in own]


def test_a_control_plane_takes_a_cronjob_and_writes_down_who_wrote() -> None:
    with start_local("one", node=False) as cluster:
        traces = Traces.of(cluster)
        kubectl = Kubectl(cluster.kubeconfig, "default")
        kubectl("create", "cronjob", "tick", "--image=x", "--schedule=*/5 * * * *")
        kubectl("get", "cronjob", "tick")
        assert audited(cluster, "kubectl/") == [("create", "cronjobs")]
        kubectl("create", "namespace", "strict")
        kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
        lax = ("--namespace=strict", "run", "lax", "--image=x", "--dry-run=server")
        assert eventually(lambda: "violates PodSecurity" in kubectl.fails(*lax)), "admission hears of the label later"
        with pytest.raises(ClusterError, match="has no node"):
            cluster.load_image(Path("any.tar"))
    assert traces.left() == []


def test_the_controllers_work_without_a_node() -> None:
    with start_local("one", node=False) as cluster:
        kubectl = Kubectl(cluster.kubeconfig, "default")
        kubectl("create", "cronjob", "tick", "--image=x", "--schedule=* * * * *")
        assert eventually(lambda: "tick-" in kubectl("get", "jobs", "-o", "name"), seconds=90)
        assert eventually(lambda: "tick-" in kubectl("get", "pods", "-o", "name"))


def test_an_api_server_is_killed_and_started_again() -> None:
    with start_local("one", node=False) as cluster:
        traces = Traces.of(cluster)
        kubectl = Kubectl(cluster.kubeconfig, "default")
        kubectl("create", "cronjob", "tick", "--image=x", "--schedule=* * * * *")
        first = cluster.api_server_pid
        cluster.start_api_server()
        assert cluster.api_server_pid == first
        cluster.kill_api_server()
        cluster.kill_api_server()
        with pytest.raises(Exception, match="refused"):
            kubectl("get", "cronjobs")
        cluster.start_api_server()
        assert cluster.api_server_pid not in (0, first)
        assert "tick" in kubectl("get", "cronjobs", "-o", "name")
        assert eventually(lambda: "tick-" in kubectl("get", "jobs", "-o", "name"), seconds=90), "the controllers go on"
    assert traces.left() == []


def test_up_twice_is_harmless_and_down_too() -> None:
    assert devcluster("up", "--name", "one", "--no-node").returncode == 0
    first = supervisor_pid(cluster_folder("one"))
    assert devcluster("up", "--name", "one", "--no-node").returncode == 0
    assert supervisor_pid(cluster_folder("one")) == first
    assert "ready" in devcluster("status").stdout
    kubeconfig = Path(devcluster("kubeconfig", "--name", "one").stdout.strip())
    assert Kubectl(kubeconfig, "default")("get", "namespaces", "-o", "name")
    other_shape = devcluster("up", "--name", "one")
    assert other_shape.returncode == 1
    assert "runs without a node" in other_shape.stderr
    assert "is stopped" in devcluster("down", "--name", "one").stderr
    assert not cluster_folder("one").exists()
    assert devcluster("down", "--name", "one").returncode == 0
    assert devcluster("kubeconfig", "--name", "one").returncode == 1


def test_clusters_stand_side_by_side() -> None:
    with start_local("one", node=False) as one, start_local("two", node=False) as two:
        assert one.layout.slot != two.layout.slot
        Kubectl(one.kubeconfig, "default")("create", "namespace", "only-here")
        assert "only-here" not in Kubectl(two.kubeconfig, "default")("get", "namespaces", "-o", "name")
        with pytest.raises(ClusterError, match="runs already"), start_local("one", node=False):
            pass


def hold(name: str, *, node: bool) -> subprocess.Popen[str]:
    """A process that has a cluster and then just stays, as a test run does."""
    code = (
        "import sys, time; from devcluster import start_local\n"
        f"with start_local({name!r}, node={node}):\n"
        "    print('up', flush=True); time.sleep(600)\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("node", [False, pytest.param(True, marks=pytest.mark.node)])
def test_a_killed_caller_leaves_nothing(*, node: bool) -> None:
    with hold("one", node=node) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "up\n"
        record = Record.read(cluster_folder("one"))
        assert record is not None
        traces = Traces.of(LocalCluster("one", record.layout(cluster_folder("one"))))
        assert len(traces.left()) > 3, "else what follows proves nothing"
        caller.kill()
    assert eventually(lambda: traces.left() == []), traces.left()


@pytest.mark.parametrize("node", [False, pytest.param(True, marks=pytest.mark.node)])
def test_a_killed_supervisor_leaves_little_and_down_takes_that(*, node: bool) -> None:
    assert devcluster("up", "--name", "one", "--node" if node else "--no-node").returncode == 0
    folder = cluster_folder("one")
    record = Record.read(folder)
    assert record is not None
    traces = Traces.of(LocalCluster("one", record.layout(folder)))
    os.kill(record.pid, signal.SIGKILL)
    assert eventually(lambda: not alive(folder))
    assert "dead" in devcluster("status").stdout
    assert devcluster("down", "--name", "one").returncode == 0
    assert eventually(lambda: traces.left() == []), traces.left()


def test_a_dead_cluster_is_cleaned_by_the_next_of_its_name() -> None:
    with hold("one", node=False) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "up\n"
        os.kill(supervisor_pid(cluster_folder("one")), signal.SIGKILL)
        caller.kill()
    with start_local("one", node=False) as cluster:
        assert Kubectl(cluster.kubeconfig, "default")("get", "namespaces", "-o", "name")


def test_a_component_that_fails_is_named_with_its_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("#!/bin/sh\necho the disk is full >&2\nexit 1\n")
    (tmp_path / "etcd").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with (
        pytest.raises(ClusterError, match=r"etcd ended with code 1.*\n.*the disk is full"),
        start_local("one", node=False),
    ):
        pass
    assert not alive(cluster_folder("one"))


def test_two_builders_at_once_build_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = go_for(source_of(Binary.PAUSE).module)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("GOCACHE", run(str(go), "env", "GOCACHE").strip())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build = "from devcluster.binaries import Binary, ensure; ensure([Binary.PAUSE])"
    command = [sys.executable, "-c", build]
    builders = [subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(builder.communicate(timeout=300)[1] for builder in builders)
    assert [builder.returncode for builder in builders] == [0, 0]
    assert len(re.findall("building pause .*: done", said)) == 1
    program = ensure([Binary.PAUSE])[Binary.PAUSE]
    assert program.is_relative_to(tmp_path)
    assert [path.name for path in program.parent.iterdir()] == ["pause"]


_PROGRAM = """
import os, socket
for address in ((os.environ["KUBERNETES_SERVICE_HOST"], 443), (os.environ["SERVER"], int(os.environ["PORT"]))):
    socket.create_connection(address, timeout=10).close()
print("both answered, as user", os.getuid())
"""
_DOCKERFILE = """
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
FROM ${PYTHON_IMAGE}
COPY program.py /program.py
USER 65532:65532
ENTRYPOINT ["python3", "/program.py"]
"""
_POD = """
apiVersion: v1
kind: Namespace
metadata: {{name: strict, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: program, namespace: strict}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: program
      image: region-tick/program:1
      imagePullPolicy: Never
      env: [{{name: SERVER, value: "{address}"}}, {{name: PORT, value: "{port}"}}]
      securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
"""


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(_PROGRAM)
    (tmp_path / "Dockerfile.program").write_text(_DOCKERFILE)
    return tmp_path / "Dockerfile.program"


_ELSEWHERE = ("/usr/libexec/kubernetes", "/opt/containerd", "/opt/cni", "/etc/cni", "/var/lib/kubelet", "/var/log/pods")


@pytest.mark.node
def test_a_node_runs_our_image_under_restricted_pod_security_and_leaves_nothing(dockerfile: Path) -> None:
    archive = images.build(dockerfile, "region-tick/program:1")
    elsewhere = [path for path in _ELSEWHERE if Path(path).exists()]
    with start_local("one", node=True) as cluster:
        traces = Traces.of(cluster)
        cluster.load_image(archive)
        strict = Kubectl(cluster.kubeconfig, "strict")
        strict("create", "namespace", "strict")
        assert eventually(lambda: not strict.fails("get", "serviceaccount", "default")), "a pod needs one"
        with socket.create_server((cluster.host_address, 0)) as server:
            strict("apply", "-f", "-", stdin=_POD.format(address=cluster.host_address, port=server.getsockname()[1]))
            strict("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/program", "--timeout=60s")
        assert strict("logs", "program") == "both answered, as user 65532\n"
        assert len(traces.left()) > 8, "else what follows proves nothing"
    assert eventually(lambda: traces.left() == []), traces.left()
    assert [path for path in _ELSEWHERE if Path(path).exists()] == elsewhere, "upstream's default folders stay unused"


def test_an_unchanged_image_is_not_built_again(dockerfile: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = images.build(dockerfile, "region-tick/program:2")
    capfd.readouterr()
    assert images.build(dockerfile, "region-tick/program:2") == first
    assert capfd.readouterr().err == ""
    (dockerfile.parent / "program.py").write_text("print('changed')")
    second = images.build(dockerfile, "region-tick/program:2")
    assert second != first
    shutil.rmtree(second.parent)


def test_a_dockerfile_that_fails_is_reported_with_what_it_said(dockerfile: Path) -> None:
    dockerfile.write_text(f"{_DOCKERFILE}RUN echo the reason && false\n")
    with pytest.raises(ClusterError, match="the reason"):
        images.build(dockerfile, "region-tick/program:3")


def test_the_password_of_a_mirror_reaches_the_build_and_no_message(
    dockerfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://us:pa55word@127.0.0.1/simple")
    told = 'RUN echo "asked at ${PIP_INDEX_URL:-PyPI}" | sed s/pa55/PA55/ && false'
    dockerfile.write_text(f"{_DOCKERFILE}ARG PIP_INDEX_URL\n{told}\n")
    with pytest.raises(ClusterError, match=r"asked at (https://us:PA55word@|PyPI)") as caught:  # Docker's is its own
        images.build(dockerfile, "region-tick/program:4")
    assert "pa55word" not in str(caught.value)
