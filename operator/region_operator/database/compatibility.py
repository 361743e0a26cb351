"""Decides whether a release may use the schema region_tick that it finds. Pure.

Two releases share a database during every upgrade, and for longer if another team migrates the database. So the
database itself says which release is the oldest that may use its schema: `min_reader` in the table compatibility. A
revision that removes something raises `min_reader`. See
docs/decisions/0018-the-oldest-release-that-may-use-the-schema.md.
"""

from __future__ import annotations

import re


def may_use(*, revision_known: bool, min_reader: str | None, release: str) -> bool:
    """Tell whether `release` may read and write the tables of a schema.

    A release may use every revision that the release contains. For any other revision the database's `min_reader`
    decides. If `min_reader` cannot be read, the answer is no.
    """
    if revision_known:
        return True
    oldest, own = _numbers(min_reader or ""), _numbers(release)
    return bool(oldest) and bool(own) and oldest <= own


def _numbers(release: str) -> tuple[int, ...]:
    """Return the numbers at the beginning of `release`, e.g. (0, 2) for 0.2.0rc1. Return () if there are none."""
    found = re.match(r"\d+(\.\d+)*", release, re.ASCII)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while len(numbers) > 1 and numbers[-1] == 0:  # 1 and 1.0.0 are one release
        numbers.pop()
    return tuple(numbers)
