"""The files of the chart that are made from the manifests, as texts."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import yaml

from docs.chart.schema import OBJECT, nested
from docs.chart.values import SHARED, TEMPLATES, read_manifests, values
from docs.generator.source import CHECKOUT
from region_tick.contract import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from docs.chart.manifest import Manifest
    from docs.chart.values import Value

FOLDER = CHECKOUT / "chart"
BY_HAND = ("_helpers.tpl", "NOTES.txt", "secret.yaml", "regionscheduler.yaml")
"""The templates that no manifest has."""

_WIDTH = 100
_NAMESPACE = "region-tick"
_KEEP = """\
  # Other installations of the cluster need it too. Argo CD heeds `keep` only when an Application is deleted.
  annotations: {helm.sh/resource-policy: keep, argocd.argoproj.io/sync-options: Prune=false}"""


def make_files() -> dict[Path, str]:
    """Return the text of each file that is made. Raises MissingPlaceError if a manifest lacks a value's place."""
    manifests = read_manifests()
    found = values(manifests)
    schema = {"$schema": "http://json-schema.org/draft-07/schema#"} | nested(
        [*((value.path, value.schema) for value in found), ("global", OBJECT)]  # Helm itself adds `global`
    )
    files = {
        FOLDER / "Chart.yaml": _chart(),
        FOLDER / "values.yaml": _values_text(found),
        FOLDER / "values.schema.json": json.dumps(schema, indent=1) + "\n",
    }
    for path, manifest in manifests.items():
        files[FOLDER / "templates" / TEMPLATES[path]] = _template(manifest, found)
    return files


def find_leftovers(files: Mapping[Path, str]) -> list[Path]:
    """Return the files of the folder that are neither made nor written by hand."""
    there = {path for path in FOLDER.rglob("*") if path.is_file()}
    return sorted(there - files.keys() - {FOLDER / "templates" / name for name in BY_HAND})


def _chart() -> str:
    return f"""{_made_from("the release's version")}apiVersion: v2
name: region-tick
description: Keeps a Kubernetes CronJob for each active row of a Postgres table, and runs each tick once.
type: application
version: {VERSION}
appVersion: "{VERSION}"
kubeVersion: ">=1.31.0-0"
"""


def _template(manifest: Manifest, found: Sequence[Value]) -> str:
    edits = [edit for value in found for edit in value.edits.get(manifest.name, ())]
    edits += manifest.replace_all("namespace", _NAMESPACE, "{{ toJson .Release.Namespace }}")
    if manifest.name in SHARED:
        edits.append(manifest.append("metadata.name", _KEEP))
    text = _made_from(manifest.name) + manifest.edited(edits)
    for value in found:
        if manifest.name in value.switches:
            text = f"{{{{- if .Values.{value.path} }}}}\n{text}{{{{- end }}}}\n"
    return text


def _made_from(source: str) -> str:
    return f"# Made from {source} by `make chart`: change that, not this file.\n"


def _values_text(found: Sequence[Value]) -> str:
    return _made_from("manifests and the operator's settings") + "\n".join(_lines(found)) + "\n"


def _lines(found: Sequence[Value]) -> Iterator[str]:
    group = ""
    for value in found:
        head, _, name = value.path.rpartition(".")
        if head != group or not head:
            yield ""
        if head and head != group:
            yield f"{head}:"
        group = head
        indent = "  " if head else ""
        for line in value.about.split("\n"):
            first, later = f"{indent}# ", f"{indent}#   " if line.startswith("- ") else f"{indent}# "
            yield from textwrap.wrap(
                line, _WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
            )
        yield f"{indent}{name}: {_flow(value.default)}"


def _flow(value: object) -> str:
    """Return a value as YAML in one line."""
    listed = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=float("inf"))
    return listed.strip()[1:-1]
