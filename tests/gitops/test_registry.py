"""The registry that the tests push to: what was pushed by a tag is there by its digest."""

from __future__ import annotations

import json
import urllib.request

from tests.harness.registry import Blob, registry


def test_what_was_pushed_is_had_by_its_digest() -> None:
    config = Blob(media_type="application/vnd.oci.empty.v1+json", content=b"{}")
    layer = Blob(media_type="text/plain", content=b"content")
    with registry() as running:
        digest = running.push("folder/name", tag="1", config=config, layer=layer)
        url = f"http://{running.address}/v2/folder/name"
        with urllib.request.urlopen(f"{url}/manifests/{digest}", timeout=10) as answer:
            assert json.load(answer)["layers"] == [layer.descriptor]
        with urllib.request.urlopen(f"{url}/blobs/{layer.digest}", timeout=10) as answer:
            assert answer.read() == layer.content
        with urllib.request.urlopen(f"{url}/referrers/{digest}", timeout=10) as answer:
            assert json.load(answer)["manifests"] == []
