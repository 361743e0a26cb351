"""Runs `kubectl region` as a person does: the real kubectl finds the real plugin on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.harness.kubectl import kubectl_binary
from tests.harness.operator_process import CHECKOUT
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.kubectl import Kubectl

TIMEOUT_SECONDS = 120

LOOK_AND_ACT = ("region-tick-view", "region-tick-operate")
"""The ClusterRoles of a person whom the API server's proxy lets through to the console."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """The plugin with somebody's kubeconfig, whose context has the test's namespace."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, and return what became of it."""
        return self._end(self._begin(*arguments), stdin)

    def answers(self, *arguments: str, meanwhile: Callable[[], object]) -> subprocess.CompletedProcess[str]:
        """Run a command that asks, do something `meanwhile`, say yes, and return what became of the command."""
        process, said = self._begin(*arguments), ""
        assert process.stderr is not None
        while "[y/N]" not in said and (char := process.stderr.read(1)):
            said += char
        meanwhile()
        return self._end(process, "y\n")

    def _begin(self, *arguments: str) -> subprocess.Popen[str]:
        path, pipe = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", subprocess.PIPE
        words = [kubectl_binary(), "region", *arguments]
        env = os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": path}
        return subprocess.Popen(words, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def _end(self, process: subprocess.Popen[str], stdin: str) -> subprocess.CompletedProcess[str]:
        with process:
            try:
                stdout, stderr = process.communicate(stdin, TIMEOUT_SECONDS)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def succeeds(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed, and return its output."""
        done = self(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl region {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


def plugin_of(kubectl: Kubectl, folder: Path, *, user: dict[str, object] | None = None) -> Plugin:
    """Return the plugin of the cluster's administrator, or of another user of a kubeconfig."""
    content = yaml.safe_load(kubectl.kubeconfig.read_text())
    content["contexts"][0]["context"]["namespace"] = kubectl.namespace
    if user is not None:
        content["users"][0]["user"] = user
    path = folder / f"kubeconfig-{len(list(folder.iterdir()))}"
    path.write_text(yaml.safe_dump(content))
    return Plugin(path)


def person(kubectl: Kubectl, folder: Path, name: str, *roles: str) -> Plugin:
    """Return the plugin of a person who has the ClusterRoles in the test's namespace, when the roles are in force."""
    kubectl("apply", "-f", str(CHECKOUT / "manifests/people"))
    kubectl("create", "serviceaccount", name)
    user = f"system:serviceaccount:{kubectl.namespace}:{name}"
    for role in roles:
        kubectl("create", "rolebinding", f"{name}-{role}", f"--clusterrole={role}", f"--user={user}")
    plugin = plugin_of(kubectl, folder, user={"token": kubectl("create", "token", name).strip()})
    if roles:
        eventually(lambda: not kubectl.fails("get", "cronjobs", f"--as={user}"), what="the roles are in force")
    return plugin
