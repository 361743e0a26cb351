"""The packages of the Prisma application: each pinned by hash, and none by the address of a registry."""

from __future__ import annotations

import json
from pathlib import Path

LOCK = Path(__file__).parents[1] / "clients/prisma_app/package-lock.json"


def test_each_package_is_pinned_by_hash_and_by_no_address() -> None:
    packages = json.loads(LOCK.read_text())["packages"]
    del packages[""]  # the application itself
    assert packages
    assert [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
