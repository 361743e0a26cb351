"""The archive of a one-program image."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

from devcluster.archive import write_scratch_image

if TYPE_CHECKING:
    from pathlib import Path


def test_the_archive_is_what_docker_load_takes(tmp_path: Path) -> None:
    (tmp_path / "pause").write_bytes(b"\x7fELF")
    target = tmp_path / "pause.tar"
    write_scratch_image(tmp_path / "pause", tag="localhost/pause:1", architecture="arm64", target=target)
    with tarfile.open(target) as tar:
        files = {name: member.read() for name in tar.getnames() if (member := tar.extractfile(name))}
    (manifest,) = json.loads(files["manifest.json"])
    configuration = json.loads(files[manifest["Config"]])
    (layer,) = (files[name] for name in manifest["Layers"])
    assert manifest["RepoTags"] == ["localhost/pause:1"]
    assert configuration["architecture"] == "arm64"
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        (program,) = tar.getmembers()
    assert [f"/{program.name}"] == configuration["config"]["Entrypoint"]
    assert program.mode & 0o111
