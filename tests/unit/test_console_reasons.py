"""console.reasons: every reason has its meaning, in the words of the contract, and what to do about it."""

from __future__ import annotations

import pytest

from docs.generator.source import Texts
from region_operator.console.reasons import REASONS, explain_reason, say_suspended_by
from region_operator.cronjobs.labels import SuspendedBy
from region_tick import contract
from region_tick.contract import Reason


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_means_what_the_contract_says(reason: Reason) -> None:
    assert REASONS[reason].meaning == Texts(contract).of(Reason, reason.name)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.OK])
def test_a_reason_that_is_no_success_says_what_to_do(reason: Reason) -> None:
    remedy = explain_reason(reason).remedy
    assert remedy
    assert remedy.endswith(".")


def test_what_suspends_all_regions_is_told_with_both_fields() -> None:
    assert say_suspended_by(SuspendedBy.SPEC.value) == "with all regions, by spec.suspend or spec.suspendUntil"
    assert [say_suspended_by(each) for each in ("paused by ana", "quarantined", None)] == [
        "paused by ana",
        "quarantined",
        None,
    ]


def test_a_reason_that_a_handler_made_up_is_no_error() -> None:
    assert "itself" in explain_reason("nothing new").meaning
    assert explain_reason("nothing new").remedy is None
    assert explain_reason(None).remedy is None
