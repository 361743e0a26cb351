"""Reads Kubernetes objects from the texts that people, kustomize and Helm write."""

from __future__ import annotations

from typing import Any

import yaml

Objects = dict[tuple[str, str], Any]
"""Objects by kind and name."""


def objects(text: str) -> Objects:
    """Return the objects of a text with YAML documents."""
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}
