"""The packages from npm that tests use: each pinned by hash, and none by the address of a registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LOCKS = [TESTS / "clients/prisma_app/package-lock.json", TESTS / "console/axe/package-lock.json"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_each_package_is_pinned_by_hash_and_by_no_address(lock: Path) -> None:
    packages = json.loads(lock.read_text())["packages"]
    del packages[""]  # the application itself
    assert packages
    assert [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []


def test_every_lock_is_looked_at() -> None:
    assert sorted(path for path in TESTS.rglob("package-lock.json") if "node_modules" not in path.parts) == sorted(
        LOCKS
    )
