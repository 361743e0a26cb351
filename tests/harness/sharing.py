"""Installations that share the table of a test: each has a namespace and an operator of its own."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from contextlib import contextmanager
from os import environ
from typing import TYPE_CHECKING, Any

import psycopg

from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT, OperatorProcess
from tests.harness.operator_rights import install_rights, operator_kubeconfig
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = {"concurrency": 10, "refreshInterval": "1s", "tick": {"startDeadline": "30s"}}
TAKE_OVER = "region-tick.dev/take-over"


def schedule_versions(database: str) -> list[tuple[Any, ...]]:
    """Return all rows of region_schedule. Installations that fight over a table would add rows without end."""
    with psycopg.connect(database, autocommit=True) as connection:
        query = "SELECT code, valid_from, valid_to, cronjob FROM region_tick.region_schedule ORDER BY code, valid_from"
        return connection.execute(query).fetchall()


class Installation:
    """A namespace with an operator of its own, on the test's table."""

    def __init__(self, kubeconfig: Path, database: str, logs: Path) -> None:
        self.kubectl = Kubectl(kubeconfig, f"t-{secrets.token_hex(4)}")
        self.database, self._logs = database, logs
        self.kubectl("create", "namespace", self.kubectl.namespace)
        self.name: str = self.kubectl.get("namespace", self.kubectl.namespace)["metadata"]["uid"]
        body = {"apiVersion": "region-tick.dev/v1alpha1", "kind": "RegionScheduler", "metadata": {"name": "default"}}
        self.kubectl("create", "-f", "-", stdin=json.dumps(body | {"spec": SPEC}))
        install_rights(self.kubectl)
        self._kubeconfig = operator_kubeconfig(self.kubectl, logs)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self._kubeconfig),
            "POD_NAMESPACE": self.kubectl.namespace,
            "DATABASE_URL": self.database,
            "BOOTSTRAP": "false",
        }

    @contextmanager
    def operator(self, **environment: str) -> Iterator[OperatorProcess]:
        with OperatorProcess(self._logs / f"{secrets.token_hex(4)}.log", self.environment | environment) as operator:
            yield operator

    def plan(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "region_operator", "plan"],
            env=environ | self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    def take_over(self, *others: Installation) -> None:
        """Do what the condition says."""
        names = ",".join(other.name for other in others)
        self.kubectl("annotate", "rsched", "default", "--overwrite", f"{TAKE_OVER}={names}")

    def withdraw_take_over(self) -> None:
        """Take the annotation away, so that the same take-over can be asked for again."""
        self.kubectl("annotate", "rsched", "default", f"{TAKE_OVER}-")

    def shard(self, index: int, count: int) -> None:
        self.patch({"shard": {"index": index, "count": count}})

    def patch(self, source: dict[str, Any]) -> None:
        patch = json.dumps({"spec": {"source": source}})
        self.kubectl("patch", "rsched", "default", "--type=merge", "--patch", patch)

    @property
    def codes(self) -> set[str]:
        return set(self.kubectl.cronjobs())

    def will_have(self, codes: set[str]) -> None:
        eventually(lambda: self.codes == codes, what=f"{len(codes)} CronJobs", seconds=60)

    def will_be(self, reason: str) -> dict[str, Any]:
        def ready() -> dict[str, Any] | None:
            return found if (found := self.kubectl.ready()).get("reason") == reason else None

        return eventually(ready, what=f"Ready says {reason}", seconds=60)
