"""What a node does for a tick's pod, without a node: it runs the tick as a process of this machine, with the variables
that the pod says, and reports its end. A real node would make no difference to who makes Jobs and pods, and when.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.harness.kubectl import Kubectl

STEP_SECONDS = 0.3
TICK_SECONDS = 30


class StandInKubelet:
    """Runs the ticks' pods of one namespace, each once; a context manager that ends with those it runs.

    `images` gives the variables with which Python finds what is in an image. Every other image has today's tick.
    """

    def __init__(
        self, kubectl: Kubectl, database: str, images: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    ) -> None:
        self._kubectl, self._database, self._images = kubectl, database, images
        self._seen: set[str] = set()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._watch)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(TICK_SECONDS + 10)

    def _watch(self) -> None:
        while not self._stopped.wait(STEP_SECONDS):
            for pod in self._kubectl.get("pods", "--selector", "app=region-tick")["items"]:
                meta = pod["metadata"]
                if meta["uid"] not in self._seen and "deletionTimestamp" not in meta:
                    self._seen.add(meta["uid"])
                    self._threads.append(threading.Thread(target=self._run, args=(pod,)))
                    self._threads[-1].start()

    def _run(self, pod: dict[str, Any]) -> None:
        [container] = pod["spec"]["containers"]
        variables = {item["name"]: self._value(item, pod) for item in container["env"]}
        tick = [sys.executable, "-m", "region_tick"]
        image = self._images.get(container["image"], {})
        done = subprocess.run(
            tick, env={**os.environ, **variables, **image}, capture_output=True, timeout=TICK_SECONDS, check=False
        )
        ended = {"name": "tick", "state": {"terminated": {"exitCode": done.returncode}}, "ready": False}
        ended |= {"restartCount": 0, "image": container["image"], "imageID": ""}
        status = {"phase": "Failed" if done.returncode else "Succeeded", "containerStatuses": [ended]}
        body, name = json.dumps({"status": status}), pod["metadata"]["name"]
        said = self._kubectl.fails("patch", "pod", name, "--subresource", "status", "--type", "merge", "--patch", body)
        assert "NotFound" in said or not said, said  # its Job's deadline may have taken it away meanwhile

    def _value(self, item: dict[str, Any], pod: dict[str, Any]) -> str:
        if "valueFrom" not in item:
            return str(item.get("value", ""))
        if "secretKeyRef" in item["valueFrom"]:
            return self._database
        path: str = item["valueFrom"]["fieldRef"]["fieldPath"]
        if path.startswith("metadata.labels"):
            return str(pod["metadata"]["labels"][path.split("'")[1]])
        return str({"metadata.name": pod["metadata"]["name"], "spec.nodeName": "stand-in"}[path])
