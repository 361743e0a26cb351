"""console/page_parts.py: commands that a shell takes apart as they were meant, and numbers that sum up a view."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from kubectl_region.commands import load
from region_operator.console.page_parts import parts_of
from region_operator.console.views import RegionState
from tests.harness import console_regions as regions
from tests.harness import console_values as made
from tests.harness.console_values import context_of


def test_a_code_in_a_command_is_one_word_of_the_shell() -> None:
    code = 'it\'s $(reboot) `x` "y" ; z'
    listed = regions.region_list(2)
    spoiled = replace(listed, items=tuple(replace(item, code=code) for item in listed.items))
    for _, command in parts_of(spoiled, context_of("regions"))["commands"][:2]:
        assert shlex.split(command).count(code) == 2


@pytest.mark.parametrize("state", [RegionState.PAUSED, RegionState.TICKING])
def test_commands_name_the_namespace_and_take_any_code(state: RegionState) -> None:
    """The plugin itself reads the command lines: a code may begin like an option."""
    listed = regions.region_list(1)
    spoiled = replace(listed, items=tuple(replace(item, code="-rf") for item in listed.items))
    pages = (("regions", spoiled), ("regions/x", regions.region(code="-rf", state=state)))
    for path, view in pages:
        for _, command in parts_of(view, context_of(path))["commands"]:
            words = shlex.split(command)
            assert words[:2] == ["kubectl", "region"]
            read = load(words[2]).make_context(words[2], words[3:]).params
            assert (read["namespace"], read.get("code") or read["codes"]) in (
                ("region-tick", "-rf"),
                ("region-tick", ("-rf",)),
            )
    assert parts_of(made.plan(), context_of("plan"))["command"] == "kubectl region diff -n region-tick"


def test_one_command_brings_back_all_that_an_outage_cost() -> None:
    """Behind ticks that wait for the database others are skipped: for want of a slot, or of their region's turn."""
    for path, view in (("regions/x", regions.region()), ("regions", regions.region_list(2))):
        title, command = parts_of(view, context_of(path))["commands"][-1]
        assert "failed, was missed or was skipped" in title
        assert " backfill " in command
        assert "--from 24h --state missed,failed,skipped" in command


@pytest.mark.parametrize("code", ["DE-\u200bBE", "DE" * 100], ids=["unseen", "too long to tick"])
def test_a_code_that_looks_like_another_one_or_has_no_cronjob_is_in_no_command(code: str) -> None:
    assert parts_of(regions.region(code=code), context_of("regions/x"))["commands"] == []
    listed = regions.region_list(1)
    spoiled = replace(listed, items=tuple(replace(item, code=code) for item in listed.items))
    assert not any(code in command for _, command in parts_of(spoiled, context_of("regions"))["commands"])


def test_the_axis_names_the_columns_in_which_its_parts_begin() -> None:
    parts = parts_of(regions.ledger(3), context_of("ledger"))
    assert parts["axis"] == ["09:10", "13:10", "17:10", "21:10", "01:10", "05:10"]
    parts = parts_of(regions.ledger(3, from_="2d"), context_of("ledger"))
    assert parts["axis"][:2] == ["11-28 09:15", "11-28 17:15"]


def test_the_plan_is_counted_and_cut() -> None:
    view = made.plan()
    many = replace(view, plan={**view.plan, "changes": view.plan["changes"] * 300})
    parts = parts_of(many, context_of("plan"))
    assert len(parts["changes"]) == 500
    assert dict(parts["actions"])["hold"] == 300 * len(view.holds[0].regions)


def test_the_worst_minutes_lose_most_ticks() -> None:
    worst = parts_of(made.forecast(), context_of("forecast"))["worst"]
    assert [minute["lost"] for minute in worst] == sorted((minute["lost"] for minute in worst), reverse=True)
    assert worst[0]["lost"] > 0


def test_reasons_of_success_are_not_among_those_of_failure() -> None:
    reasons = parts_of(made.overview(), context_of(""))["reasons"]
    assert [(each.state, each.reason) for each in reasons][:2] == [("skipped", "capacity"), ("failed", "error")]
