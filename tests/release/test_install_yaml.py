"""install.yaml is what `kubectl apply -f manifests` applies, with every image by digest."""

from __future__ import annotations

import json
from typing import Any

import yaml

from region_tick.contract import VERSION
from release.install_yaml import install_yaml
from tests.harness.operator_process import CHECKOUT

DIGESTS = {f"region-tick/{name}": f"sha256:{digit * 64}" for name, digit in (("operator", "a"), ("tick", "b"))}


def objects(documents: str) -> dict[str, Any]:
    found = [document for document in yaml.safe_load_all(documents) if document]
    return {f"{document['kind']} {document['metadata']['name']}": document for document in found}


def test_it_is_the_manifests_with_the_images_of_the_registry_by_digest() -> None:
    applied: dict[str, Any] = {}
    for path in (CHECKOUT / "manifests").glob("*.yaml"):
        applied |= objects(path.read_text())
    text = json.dumps(applied)
    for name, digest in DIGESTS.items():
        assert f'"{name}:{VERSION}"' in text
        text = text.replace(f'"{name}:{VERSION}"', f'"registry.example.com/{name}@{digest}"')
    assert objects(install_yaml(CHECKOUT, "registry.example.com", DIGESTS)) == json.loads(text)
