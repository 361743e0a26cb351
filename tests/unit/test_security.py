"""docs/security.md: each test that is named as showing a mitigation exists."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/security.md").read_text()
NAMED = re.findall(r"`(\w+/test_\w+\.py)(?:::(\w+))?`", TEXT)


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 30
    missing = [
        (path, name)
        for path, name in NAMED
        if not re.search(rf"def {name or 'test_.*'}\(", (CHECKOUT / "tests" / path).read_text())
    ]
    assert missing == []
