"""database/compatibility.py: which release may use which schema."""

from __future__ import annotations

import pytest

from region_operator.database.compatibility import may_use

KNOWN, UNKNOWN = True, False


@pytest.mark.parametrize(
    ("revision_known", "min_reader", "release", "expected"),
    [
        (KNOWN, None, "0.1.0", True),
        (KNOWN, "0.1.0", "0.1.0", True),
        (KNOWN, "9.0.0", "0.1.0", True),  # no release brings a revision that it may not use
        (UNKNOWN, "0.1.0", "0.1.0", True),
        (UNKNOWN, "0.1.0", "0.2.0", True),
        (UNKNOWN, "0.2.0", "0.1.0", False),
        (UNKNOWN, "0.9.0", "0.10.0", True),
        (UNKNOWN, "0.10.0", "0.9.0", False),
        (UNKNOWN, "1.0.0", "1", True),
        (UNKNOWN, "1", "1.0.0", True),
        (UNKNOWN, "1.0.1", "1", False),
        (UNKNOWN, "0.2.0", "0.2.0rc1", True),
        (UNKNOWN, "0.2.0", "0.2.0+ours.7", True),
        (UNKNOWN, "0.0.0", "0.0", True),
        (UNKNOWN, None, "0.1.0", False),
        (UNKNOWN, "", "0.1.0", False),
        (UNKNOWN, "the next", "0.1.0", False),
        (UNKNOWN, "0.1.0", "unreleased", False),
    ],
)
def test_the_database_has_the_word_about_revisions_that_are_not_known(
    revision_known: bool, min_reader: str | None, release: str, expected: bool
) -> None:
    assert may_use(revision_known=revision_known, min_reader=min_reader, release=release) is expected
