"""Runs kubectl as a person does, on the test's own cluster and namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.reading import read

TIMEOUT_SECONDS = 120


def kubectl_binary() -> str:
    """Return the path of kubectl: of the tests' virtual environment first, then of PATH."""
    beside = Path(sys.executable).with_name("kubectl")
    return str(beside) if beside.exists() else shutil.which("kubectl") or "kubectl"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl. Every call has a timeout. A failed call raises AssertionError with kubectl's own message."""

    kubeconfig: Path
    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = self._run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def fails(self, *arguments: str) -> str:
        """Return kubectl's error message, or an empty text if kubectl succeeds."""
        done = self._run(*arguments)
        return done.stderr if done.returncode else ""

    def _run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [kubectl_binary(), "--namespace", self.namespace, *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def get(self, *arguments: str) -> Any:
        """Return what `kubectl get ... -o json` prints."""
        found = read(self.kubeconfig, self.namespace, *arguments)
        return json.loads(self("get", *arguments, "--output", "json")) if found is None else found

    def cronjobs(self) -> dict[str, dict[str, Any]]:
        """Return our CronJobs by region code, without those that somebody has deleted.

        The garbage collector takes a deleted CronJob away in its own time, because of the finalizer `orphan`.
        """
        metas = [(item["metadata"], item) for item in self.get("cronjobs", "--selector", "app=region-tick")["items"]]
        return {
            meta["annotations"]["region-tick.dev/code"]: item for meta, item in metas if "deletionTimestamp" not in meta
        }

    def scheduler(self) -> dict[str, Any]:
        """Return RegionScheduler `default`, or {} without a RegionScheduler."""
        found: list[dict[str, Any]] = self.get("regionschedulers")["items"]
        return found[0] if found else {}

    def is_observed(self) -> bool:
        """Whether the status is of RegionScheduler `default` as it is now.

        An edit of the table reaches the operator by a way of its own, and can overtake an edit of the RegionScheduler.
        This is kstatus' first question, which it does not ask of an object without observedGeneration (cli-utils,
        pkg/kstatus/status/generic.go).
        """
        scheduler = self.scheduler()
        return bool(scheduler["status"]["observedGeneration"] == scheduler["metadata"]["generation"])

    def ready(self) -> dict[str, Any]:
        """Return the condition Ready of RegionScheduler `default`, or {} without the condition."""
        return self.condition("Ready")

    def condition(self, kind: str) -> dict[str, Any]:
        """Return a condition of RegionScheduler `default`, or {} without the condition."""
        conditions = self.scheduler().get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == kind), {})

    def approve(self, kind: str) -> None:
        """Approve what is held, by the command that a condition of RegionScheduler `default` names."""
        command: str = self.condition(kind)["message"].rpartition("kubectl ")[2]
        self(*command.split())
