"""kubectl_region/jobs.py: how a Job ended."""

from __future__ import annotations

from typing import Any

import pytest

from kubectl_region.jobs import end_of


@pytest.mark.parametrize(
    ("conditions", "end"),
    [
        ([], None),
        ([{"type": "FailureTarget", "status": "True"}], None),
        ([{"type": "Failed", "status": "False"}], None),
        ([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}], ("Complete", "")),
        ([{"type": "Failed", "status": "True", "message": "deadline"}], ("Failed", "deadline")),
    ],
)
def test_the_end_of_a_job(conditions: list[dict[str, Any]], end: tuple[str, str] | None) -> None:
    assert end_of({"status": {"conditions": conditions}}) == end
    assert end_of({}) is None
