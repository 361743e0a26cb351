"""docs/failure-modes.md: each line has a test, and each fault that is tested has a line."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.api_causes import API_FAULTS
from tests.faults.causes import FAULTS

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/failure-modes.md").read_text()


def test_every_fault_that_is_caused_has_its_line_and_no_other() -> None:
    named = re.findall(r"`([\w-]+)`", " ".join(re.findall(r"\[((?:`[\w-]+`(?:, )?)+)\]", TEXT)))
    assert sorted(named) == sorted(str(fault) for fault in (*FAULTS, *API_FAULTS))


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert named
    assert [path for path in named if not (CHECKOUT / path).exists()] == []
