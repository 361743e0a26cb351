"""Runs Helm as a person does, on a cluster of the tests or on none."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.harness.go_program import go_program
from tests.harness.objects import objects
from tests.harness.operator_process import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.objects import Objects

CHART = CHECKOUT / "chart"
RELEASE = "region-tick"
KEEP = {"helm.sh/resource-policy": "keep", "argocd.argoproj.io/sync-options": "Prune=false"}
"""The annotations of what stays when a release is uninstalled, or leaves the Git repository of Argo CD."""
TIMEOUT_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Helm:
    """Runs Helm. Every call has a timeout. A failed call raises AssertionError with Helm's own message."""

    home: Path
    namespace: str
    kubeconfig: Path | None = None

    def __call__(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def fails(self, *arguments: str) -> str:
        """Return Helm's error message, or an empty text if Helm succeeds."""
        done = self._run(*arguments)
        return done.stderr if done.returncode else ""

    def template(self, *arguments: str) -> Objects:
        """Return what the chart makes of these arguments."""
        return objects(self("template", RELEASE, str(CHART), *arguments))

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        homes = {f"HELM_{kind}_HOME": str(self.home) for kind in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [go_program("helm/helm"), "--namespace", self.namespace, *arguments],
            env=os.environ | homes | {"KUBECONFIG": str(self.kubeconfig or self.home / "none")},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def at(item: Any, place: str) -> Any:
    """Return what stands at a place; a step into a list is the name of an item."""
    for step in place.split("."):
        item = next(part for part in item if part["name"] == step) if isinstance(item, list) else item[step]
    return item
