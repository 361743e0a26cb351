"""A registry has the images under the digests of the release, and lists an image's SBOM among its referrers."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.errors import ClusterError
from release.oci import Layout, platform_of, write_index
from release.publish import attach, push
from release.sbom import CYCLONEDX
from tests.harness.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.registry import Registry

pytestmark = [pytest.mark.xdist_group("release"), pytest.mark.timeout(900)]

NAME = "region-tick/tick"
OTHER = {"amd64": "arm64", "arm64": "amd64"}
SBOM = b'{"bomFormat": "CycloneDX"}'


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as running:
        yield running


@pytest.fixture
def index(tick_image: Layout, tmp_path: Path) -> Layout:
    """The tick image for two platforms: built for this machine, and the same as another architecture's."""
    architecture = OTHER[platform_of(tick_image)["architecture"]]
    other = Layout.make(tmp_path / "other")
    manifest = tick_image.read(tick_image.root)
    for layer in manifest["layers"]:
        other.blob(layer).symlink_to(tick_image.blob(layer))
    configuration = tick_image.read(manifest["config"]) | {"architecture": architecture}
    config = other.add(json.dumps(configuration).encode(), manifest["config"]["mediaType"])
    other.name(other.add_json(manifest | {"config": config}))
    return write_index([other, tick_image], tmp_path / "index")


def asked(running: Registry, path: str) -> Any:
    with urllib.request.urlopen(f"http://{running.address}/v2/{NAME}/{path}", timeout=30) as answer:
        return json.load(answer)


def test_each_platform_is_had_by_the_digest_of_the_release(running: Registry, index: Layout) -> None:
    push(index, f"{running.address}/{NAME}:1", plain_http=True)
    found = asked(running, f"manifests/{index.root['digest']}")
    assert found == index.read(index.root) == asked(running, "manifests/1")
    architectures = [platform["platform"]["architecture"] for platform in found["manifests"]]
    assert architectures == sorted(OTHER)
    for platform in found["manifests"]:
        assert asked(running, f"manifests/{platform['digest']}") == index.read(platform)


def test_an_sbom_is_among_the_referrers_of_its_platform_alone(running: Registry, index: Layout) -> None:
    push(index, f"{running.address}/{NAME}:1", plain_http=True)
    first, second = index.read(index.root)["manifests"]
    digest = attach(SBOM, CYCLONEDX, first, f"{running.address}/{NAME}", plain_http=True)
    assert [found["digest"] for found in asked(running, f"referrers/{first['digest']}")["manifests"]] == [digest]
    assert asked(running, f"referrers/{second['digest']}")["manifests"] == []
    artifact = asked(running, f"manifests/{digest}")
    assert artifact["artifactType"] == CYCLONEDX
    assert asked(running, f"blobs/{artifact['layers'][0]['digest']}") == json.loads(SBOM)


def test_a_registry_that_is_not_there_is_named(index: Layout) -> None:
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:1"):
        push(index, f"127.0.0.1:1/{NAME}:1", plain_http=True)
