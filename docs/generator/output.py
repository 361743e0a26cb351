"""Brings files that are made up to date: writes those that differ, and removes those that nothing makes any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.generator.source import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


def find_outdated(files: Mapping[Path, str]) -> list[Path]:
    """Return the files that do not have their texts."""
    return [path for path, text in files.items() if not path.exists() or path.read_text() != text]


def bring_up_to_date(files: Mapping[Path, str], leftovers: Collection[Path]) -> None:
    """Write the files that are outdated, remove the leftovers, and print which."""
    for path in find_outdated(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
        print(f"wrote {path.relative_to(CHECKOUT)}")
    for path in leftovers:
        path.unlink()
        print(f"removed {path.relative_to(CHECKOUT)}")
