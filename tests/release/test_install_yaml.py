"""install.yaml is what `kubectl apply -f manifests` applies, with every image by digest."""

from __future__ import annotations

from region_tick.contract import VERSION
from release.install_yaml import install_yaml
from tests.harness.objects import objects
from tests.harness.operator_process import CHECKOUT

DIGESTS = {f"region-tick/{name}": f"sha256:{digit * 64}" for name, digit in (("operator", "a"), ("tick", "b"))}


def test_it_is_the_manifests_with_the_images_of_the_registry_by_digest() -> None:
    text = "\n---\n".join(path.read_text() for path in (CHECKOUT / "manifests").glob("*.yaml"))
    for name, digest in DIGESTS.items():
        assert f"{name}:{VERSION}" in text
        text = text.replace(f"{name}:{VERSION}", f"registry.example.com/{name}@{digest}")
    assert objects(install_yaml(CHECKOUT, "registry.example.com", DIGESTS)) == objects(text)
