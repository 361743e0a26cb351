"""Reads the tree of an Application from Argo CD's Redis, from which Argo CD's API server reads what it shows."""

from __future__ import annotations

import json
import subprocess
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.harness.argocd import ArgoCd

READ_SECONDS = 30
GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """How many nodes of each kind a tree has, the bytes of its JSON, and the bytes that the Redis keeps."""

    kinds: Counter[str]
    json_bytes: int
    stored_bytes: int

    @property
    def nodes(self) -> int:
        return self.kinds.total()


def read_tree(argo: ArgoCd, application: str) -> Tree:
    """Return the tree of an Application; a tree without nodes, as long as Argo CD has none."""
    [key, *_] = _ask(argo, "KEYS", f"app|resources-tree|{application}|*").decode().splitlines()
    stored = _ask(argo, "GET", key) if key else b""
    text = zlib.decompressobj(GZIP).decompress(stored) if stored else b"{}"  # Argo CD leaves the end of gzip out
    nodes = json.loads(text).get("nodes") or []
    return Tree(kinds=Counter(node["kind"] for node in nodes), json_bytes=len(text), stored_bytes=len(stored))


def _ask(argo: ArgoCd, *command: str) -> bytes:
    asked = ["redis-cli", "-p", str(argo.redis), "--raw", *command]
    return subprocess.run(asked, capture_output=True, check=True, timeout=READ_SECONDS).stdout.removesuffix(b"\n")
