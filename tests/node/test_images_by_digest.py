"""A release is installed from one URL, and the kubelet runs what has the digest that install.yaml names, or nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import secrets
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import commands, debian, images
from region_tick.contract import VERSION
from release.images import IMAGES
from release.install_yaml import install_yaml
from release.oci import Layout, write_index
from release.publish import push
from tests.harness.kubectl import Kubectl
from tests.harness.operator_process import CHECKOUT
from tests.harness.regions import add_regions
from tests.harness.registry import registry
from tests.harness.upstream import upstream
from tests.harness.waiting import eventually
from tests.node.installation import (
    NAMESPACE,
    completed_jobs,
    create_secret,
    empty,
    job_of,
    runs,
    wait_until_ready,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from devcluster.local import LocalCluster
    from release.oci import Descriptor
    from tests.harness.upstream import Asked, Upstream
    from tests.node.installation import Installation

pytestmark = pytest.mark.timeout(900)

TICK = "region-tick/tick"


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Layout]:
    """The images that the node has as archives, as a release has them: by name, each for one platform."""
    debian.ensure(debian.RELEASE)
    folder = tmp_path_factory.mktemp("layouts")
    for image in IMAGES[:2]:
        archive = images.build(CHECKOUT / image.dockerfile, f"{image.repository}:{VERSION}")
        commands.run("skopeo", "copy", "--quiet", f"docker-archive:{archive}", f"oci:{folder / image.name}:{VERSION}")
    return {image.repository: Layout(folder / image.name) for image in IMAGES[:2]}


def test_a_release_is_installed_from_one_url_and_its_tick_is_pulled_by_digest(
    node: LocalCluster,
    installation: Installation,
    database: psycopg.Connection[tuple[Any, ...]],
    layouts: dict[str, Layout],
    tmp_path: Path,
) -> None:
    installation.remove()
    empty(database)
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    # Content of its own: what the kubelet has pulled once, it pulls anew for every other name of the same content
    # (KEP-2535, Ensure Secret Pulled Images), and nobody serves the names that the other tests use.
    own = {name: with_a_file(layout, b"released", tmp_path / layout.folder.name) for name, layout in layouts.items()}
    indexes = {name: write_index([layout], tmp_path / f"{layout.folder.name}-index") for name, layout in own.items()}
    digests = {name: index.root["digest"] for name, index in indexes.items()}
    with registry(node.host_address) as running, upstream() as site:
        node.allow_plain_http(running.address)
        for name, index in indexes.items():
            push(index, f"{running.address}/{name}:{VERSION}", plain_http=True)
        release = install_yaml(CHECKOUT, running.address, digests).encode()
        site.on("/install.yaml", lambda asked: asked.answer(body=release))
        kubectl("apply", "-f", f"{site.url}/install.yaml")
        create_secret(kubectl, database, node)
        wait_until_ready(kubectl)
        add_regions(database, 1)
        cronjob = eventually(lambda: kubectl.cronjobs().get("R1"), what="a CronJob")
        kubectl("create", "-f", "-", stdin=json.dumps(job_of(cronjob, int(time.time()) // 60)))
        eventually(lambda: completed_jobs(kubectl), what="a tick", seconds=120)
    assert [row[1:] for row in runs(database)] == [("succeeded", "ok", 1)]
    pods = kubectl.get("pods")["items"]
    ran = {status["imageID"] for pod in pods for status in pod["status"]["containerStatuses"]}
    assert ran == {f"{running.address}/{name}@{digest}" for name, digest in digests.items()}
    installation.remove()


@pytest.mark.parametrize("kind", ["manifest", "layer"])
def test_other_content_under_the_same_digest_is_refused(
    kind: str, node: LocalCluster, layouts: dict[str, Layout], tmp_path: Path
) -> None:
    """In the end the registry answers with the true content, which is taken: so the refusal has no other cause."""
    kubectl = Kubectl(node.kubeconfig, "default")
    true, other = (with_a_file(layouts[TICK], secrets.token_bytes(8), tmp_path / name) for name in ("true", "other"))
    swapped = part(true, kind)["digest"]
    with upstream(address=node.host_address) as server:
        node.allow_plain_http(server.host)
        serve(server, true)
        image = f"{server.host}/{TICK}@{true.root['digest']}"
        for path in paths(swapped):
            server.on(path, answering(other, part(other, kind)))
        start(kubectl, "refused", image)
        message = eventually(lambda: refusal(kubectl, "refused"), what="the kubelet refuses the image", seconds=60)
        assert f"expected {swapped}" in message
        serve(server, true)
        start(kubectl, "taken", image)
        eventually(lambda: phase(kubectl, "taken") == "Succeeded", what="the true image runs", seconds=60)
    kubectl("delete", "pod", "refused", "taken", "--now")


def with_a_file(image: Layout, content: bytes, folder: Path) -> Layout:
    """Write an image with one layer more, which has a file with `content`.

    The layer of another content of the same length has the same length.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        entry = tarfile.TarInfo("handlers/file")
        entry.size = len(content)
        files.addfile(entry, io.BytesIO(content))
    changed = Layout.make(folder)
    manifest = image.read(image.root)
    configuration = image.read(manifest["config"])
    for below in manifest["layers"]:
        changed.blob(below).symlink_to(image.blob(below))
    added = changed.add(gzip.compress(layer.getvalue(), compresslevel=0), manifest["layers"][0]["mediaType"])
    configuration["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}")
    config = changed.add(json.dumps(configuration).encode(), manifest["config"]["mediaType"])
    changed.name(changed.add_json(manifest | {"config": config, "layers": [*manifest["layers"], added]}))
    return changed


def part(image: Layout, kind: str) -> Descriptor:
    """Return what is called the image's manifest, or its last layer."""
    layer: Descriptor = image.read(image.root)["layers"][-1]
    return image.root if kind == "manifest" else layer


def serve(server: Upstream, image: Layout) -> None:
    """Answer as a registry with the image's own content."""
    manifest = image.read(image.root)
    for descriptor in (image.root, manifest["config"], *manifest["layers"]):
        for path in paths(descriptor["digest"]):
            server.on(path, answering(image, descriptor))


def paths(digest: str) -> list[str]:
    return [f"/v2/{TICK}/{kind}/{digest}" for kind in ("manifests", "blobs")]


def answering(image: Layout, descriptor: Descriptor) -> Callable[[Asked], None]:
    content = image.blob(descriptor).read_bytes()
    return lambda asked: asked.answer(body=content, content_type=descriptor["mediaType"])


def start(kubectl: Kubectl, name: str, image: str) -> None:
    """Start a pod that does nothing with the image."""
    container = {"name": "main", "image": image, "command": ["/opt/region-tick/bin/python", "-c", ""]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    kubectl(
        "create", "-f", "-", stdin=json.dumps(pod | {"spec": {"restartPolicy": "Never", "containers": [container]}})
    )


def phase(kubectl: Kubectl, pod: str) -> str:
    return str(kubectl.get("pod", pod)["status"]["phase"])


def refusal(kubectl: Kubectl, pod: str) -> str:
    """Return what the kubelet says of an image that it could not pull, or an empty text."""
    for status in kubectl.get("pod", pod)["status"].get("containerStatuses", []):
        waiting = status["state"].get("waiting", {})
        if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff"):
            return str(waiting["message"])
    return ""
