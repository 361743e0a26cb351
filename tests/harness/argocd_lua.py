"""Runs the scripts of manifests/gitops/argocd-cm.yaml by the Lua that Argo CD has built in (gopher-lua)."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from tests.harness.go_program import go_program
from tests.harness.operator_process import CHECKOUT

SETTINGS = CHECKOUT / "manifests/gitops/argocd-cm.yaml"
ANSWER_SECONDS = 60


def script(kind: str) -> str:
    """Return what argocd-cm says of RegionSchedulers: their `health`, or their `actions`, which are YAML of scripts."""
    text: str = yaml.safe_load(SETTINGS.read_text())["data"][
        f"resource.customizations.{kind}.region-tick.dev_RegionScheduler"
    ]
    return text


def run(lua: str, *objects: dict[str, Any]) -> list[Any]:
    """Return the table that a script returns for each object. An empty table is a list."""
    asked = "\n".join(map(json.dumps, (lua, *objects)))
    program = [go_program("argocd_lua")]
    said = subprocess.run(program, input=asked, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    assert [answer["error"] for answer in answers] == [""] * len(objects)
    return [answer["table"] for answer in answers]
