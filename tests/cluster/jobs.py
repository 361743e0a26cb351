"""Jobs that no CronJob made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.kubectl import Kubectl


def create(kubectl: Kubectl, name: str, **pod: Any) -> None:
    """Make a Job as the controller makes a tick's, and wait until its own controller has looked at it."""
    labels = {"app": "region-tick", "region-tick.dev/region": "0123456789ab"}
    spec = {"restartPolicy": "Never", "containers": [{"name": "tick", "image": "none"}]} | pod
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": 3600,
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    kubectl("create", "-f", "-", stdin=json.dumps(job))
    eventually(lambda: "startTime" in kubectl.get("job", name)["status"], what="its controller has seen it")
