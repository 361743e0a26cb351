"""What a signature by a key shows: an image is taken only if that very content was signed by that very key."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from release.oci import Layout, write_index
from release.publish import push
from tests.harness.cosign import Key
from tests.harness.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.registry import Registry

pytestmark = [pytest.mark.signing, pytest.mark.xdist_group("release"), pytest.mark.timeout(900)]

NAME = "region-tick/tick"
NO_SIGNATURE = "no signatures found"


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as running:
        yield running


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key.make(tmp_path_factory.mktemp("signer") / "key")


@pytest.fixture(scope="module")
def signed(running: Registry, key: Key, tick_image: Layout, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the tick image in the registry, signed."""
    index = write_index([tick_image], tmp_path_factory.mktemp("signed") / "index")
    push(index, f"{running.address}/{NAME}:1", plain_http=True)
    name = f"{running.address}/{NAME}@{index.root['digest']}"
    key.sign(name)
    return name


@pytest.fixture
def changed(running: Registry, tick_image: Layout, tmp_path: Path) -> str:
    """The name of a copy of the tick image that runs as root, in the same repository, under the same tag."""
    copy = Layout.make(tmp_path / "changed")
    manifest = tick_image.read(tick_image.root)
    for layer in manifest["layers"]:
        copy.blob(layer).symlink_to(tick_image.blob(layer))
    configuration = tick_image.read(manifest["config"])
    configuration["config"]["User"] = "0:0"
    config = copy.add(json.dumps(configuration).encode(), manifest["config"]["mediaType"])
    copy.name(copy.add_json(manifest | {"config": config}))
    push(copy, f"{running.address}/{NAME}:1", plain_http=True)
    return f"{running.address}/{NAME}@{copy.root['digest']}"


def refusal(key: Key, image: str) -> str:
    """Return cosign's message."""
    with pytest.raises(subprocess.CalledProcessError) as failure:
        key.verify(image)
    return str(failure.value.stderr)


def test_what_was_signed_is_verified(key: Key, signed: str) -> None:
    key.verify(signed)


def test_what_was_not_signed_is_refused(key: Key, changed: str) -> None:
    assert NO_SIGNATURE in refusal(key, changed)


def test_another_persons_signature_is_refused(signed: str, tmp_path: Path) -> None:
    assert "could not verify envelope" in refusal(Key.make(tmp_path / "other"), signed)


@pytest.mark.usefixtures("changed")
def test_a_tag_that_was_moved_to_other_content_is_refused(running: Registry, key: Key, signed: str) -> None:
    key.verify(signed)
    assert NO_SIGNATURE in refusal(key, f"{running.address}/{NAME}:1")


def test_a_signature_that_was_copied_to_other_content_is_refused(
    running: Registry, key: Key, signed: str, changed: str
) -> None:
    (signature,) = referrers(running, signed)
    manifest = asked(running, f"manifests/{signature['digest']}")
    manifest["subject"] |= {"digest": changed.partition("@")[2], "size": len(body(running, changed))}
    content = json.dumps(manifest).encode()
    request = urllib.request.Request(
        f"http://{running.address}/v2/{NAME}/manifests/copied",
        content,
        {"Content-Type": manifest["mediaType"]},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()
    assert len(referrers(running, changed)) == 1
    message = refusal(key, changed)
    assert NO_SIGNATURE not in message
    assert "digest" in message


def referrers(running: Registry, image: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(running, f"referrers/{image.partition('@')[2]}")["manifests"]
    return found


def body(running: Registry, image: str) -> bytes:
    url = f"http://{running.address}/v2/{NAME}/manifests/{image.partition('@')[2]}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def asked(running: Registry, path: str) -> Any:
    with urllib.request.urlopen(f"http://{running.address}/v2/{NAME}/{path}", timeout=30) as answer:
        return json.load(answer)
