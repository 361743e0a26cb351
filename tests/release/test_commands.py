"""The commands of a release: what they refuse, and what they say then."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from devcluster.errors import ClusterError
from region_tick.contract import VERSION
from release import __main__ as commands
from release.images import IMAGES
from release.oci import Layout, write_index
from tests.harness.registry import Registry, registry
from tests.release.small_images import write_platforms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def running() -> Iterator[Registry]:
    with registry() as running:
        yield running


def assembled(out: Path, *, changed: str = "") -> Path:
    """Make the indexes, as `assemble` does; the image `changed` has other content than otherwise."""
    write_platforms(out, changed=changed)
    (out / "images").mkdir()
    for image in IMAGES:
        write_index([Layout(out / "platforms/amd64" / image.name)], out / "images" / image.name)
    return out


def push(out: Path, address: str) -> None:
    arguments = ["push", "--out", str(out), "--registry", address, "--plain-http"]
    done = CliRunner().invoke(commands.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def published(running: Registry, name: str) -> Any:
    url = f"http://{running.address}/v2/region-tick/{name}/manifests/{VERSION}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.headers["Docker-Content-Digest"]


def test_a_release_can_be_pushed_again_and_a_tag_never_gets_other_content(running: Registry, tmp_path: Path) -> None:
    """Nothing is pushed, also no image that is the same or comes before the other one."""
    first = assembled(tmp_path / "first")
    for _ in range(2):
        push(first, running.address)
    before = {image.name: published(running, image.name) for image in IMAGES}
    with pytest.raises(ClusterError, match=f"region-tick/worker:{VERSION} is published with the digest sha256:"):
        push(assembled(tmp_path / "other", changed="worker"), running.address)
    assert {image.name: published(running, image.name) for image in IMAGES} == before


def test_a_registry_that_does_not_say_what_it_has_is_not_pushed_to(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"`skopeo inspect .*127\.0\.0\.1:1"):
        push(assembled(tmp_path / "images"), "127.0.0.1:1")


def test_a_folder_without_commits_needs_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of the sources has no commits."""
    monkeypatch.setattr(commands, "_CHECKOUT", tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    with pytest.raises(ClusterError, match="so give --timestamp or SOURCE_DATE_EPOCH: `git"):
        CliRunner().invoke(commands.main, ["build", "--out", str(tmp_path)], catch_exceptions=False)
