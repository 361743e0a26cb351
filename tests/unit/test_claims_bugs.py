"""Every bug can be planted in the statements as they are today, and takes away what it says."""

from __future__ import annotations

import pytest

from region_tick import claim, effects, fence, rerun
from region_tick.rerun import CLAIM_AGAIN
from region_tick.statements import CLAIM, FINISH, GUARD
from tests.faults import claims_bugs
from tests.faults.claims_bugs import Bug, plant, put

PLANTED = {"CLAIM": claim, "FINISH": fence, "CLAIM_AGAIN": rerun}


@pytest.fixture(autouse=True)
def afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in PLANTED.items():
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(effects, "guard_within", getattr(effects, "guard_within"))  # noqa: B009 - not exported there


def what_is_said() -> list[object]:
    return [*(getattr(module, name) for name, module in PLANTED.items()), vars(effects)["guard_within"]]


@pytest.mark.parametrize("bug", list(Bug))
def test_a_bug_changes_a_claim(bug: Bug) -> None:
    before = what_is_said()
    plant(bug)
    assert what_is_said() != before


@pytest.mark.parametrize(
    ("bug", "name", "rest"),
    [
        (Bug.NO_FENCE, "FINISH", FINISH),
        (Bug.NO_COMPARISON, "FINISH", FINISH),
        (Bug.NO_LEASE, "CLAIM", CLAIM),
        (Bug.NO_END_OF_RERUN, "CLAIM_AGAIN", CLAIM_AGAIN),
        (Bug.CURSOR_OF_RERUN, "FINISH", FINISH),
    ],
)
def test_a_bug_leaves_the_rest_of_the_statement(bug: Bug, name: str, rest: str) -> None:
    plant(bug)
    planted = getattr(PLANTED[name], name)
    assert 0 < len(rest) - len(planted) < 150
    assert set(planted.split()) < set(rest.split())


def test_a_fence_is_the_guard() -> None:
    assert claims_bugs.FENCE in " ".join(GUARD.split())
    assert claims_bugs.FENCE in " ".join(FINISH.split())


def test_only_what_a_module_has_can_be_put() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        put(claim, no_such_name=1)
