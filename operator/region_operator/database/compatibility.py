"""Decides whether a release may use the schema region_tick that it finds. Pure.

Two releases share a database during every upgrade, and for longer where somebody else migrates it. So the database
itself says which release is the oldest that may use its schema: `min_reader` in the table compatibility. A revision
that takes something away raises it. See docs/decisions/0018-the-oldest-release-that-may-use-the-schema.md.
"""

from __future__ import annotations

import re


def may_use(*, revision_known: bool, min_reader: str | None, release: str) -> bool:
    """Tell whether `release` may read and write the tables of a schema.

    A release knows the revisions that it brings, and may use what these make. About any other revision the database has
    the word: without a `min_reader` that can be read, the answer is no.
    """
    if revision_known:
        return True
    oldest, own = _numbers(min_reader or ""), _numbers(release)
    return bool(oldest) and bool(own) and oldest <= own


def _numbers(release: str) -> tuple[int, ...]:
    """Read the numbers that a release begins with, e.g. (0, 2) of 0.2.0rc1; none where it begins otherwise."""
    found = re.match(r"\d+(\.\d+)*", release, re.ASCII)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    while len(numbers) > 1 and numbers[-1] == 0:  # 1 and 1.0.0 are one release
        numbers.pop()
    return tuple(numbers)
