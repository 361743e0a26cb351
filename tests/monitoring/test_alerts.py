"""The alerts, by Debian's promtool: each fires when it must and at no other time, also while leaders change."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from docs.monitoring.alerts import ALERTS
from docs.monitoring.expressions import TICKS
from docs.monitoring.rules import rules_file
from tests.harness.prometheus import promtool
from tests.monitoring.worlds import RESTARTED, Pod, World, constant, growing, promtool_test

if TYPE_CHECKING:
    from pathlib import Path

READY = "region_operator_condition{type='Ready', status='True', reason='InSync'}"
DAY = 24 * 60


def not_ready(reason: str) -> dict[str, Any]:
    return {
        READY: constant(0),  # 0 stands for a condition that is not served
        f"region_operator_condition{{type='Ready', status='False', reason='{reason}'}}": constant(1),
    }


def condition(kind: str, reason: str) -> dict[str, Any]:
    return {f"region_operator_condition{{type='{kind}', status='True', reason='{reason}'}}": constant(1)}


TROUBLES: dict[str, World] = {
    "RegionTickOperatorGone": World(pods=(Pod(name="a", end=60, leads_from=0), Pod(name="b", end=60))),
    "RegionTickNoLeader": World(pods=(Pod(name="a"), Pod(name="b"))),
    "RegionTickFreshnessBurnsFast": World(changes={"region_operator_regions_behind_objective": constant(9)}),
    "RegionTickFreshnessBurnsSlowly": World(changes={"region_operator_regions_behind_objective": constant(2)}),
    "RegionTickMissed": World(changes={"region_operator_ticks_total{state='missed', reason='no node'}": growing(5)}),
    "RegionTickFailing": World(changes={"region_operator_ticks_total{state='failed', reason='timeout'}": growing(5)}),
    "RegionTickDatabaseAway": World(changes=not_ready("DatabaseUnavailable")),
    "RegionTickApiServerAway": World(
        changes={
            "region_operator_reconciles_total{reason='Succeeded'}": constant(7),
            "region_operator_reconciles_total{reason='ApiUnavailable'}": growing(2),
        }
    ),
    "RegionTickForbidden": World(
        changes={"region_operator_api_requests_total{method='PATCH', code='403'}": growing(1)}
    ),
    "RegionTickSpecRefused": World(changes=not_ready("InvalidSpec") | condition("Stalled", "InvalidSpec")),
    "RegionTickNotReady": World(changes=not_ready("SourceUnreadable")),
    "RegionTickSourceTaken": World(changes=not_ready("SourceTaken")),
    "RegionTickHeld": World(changes={"region_operator_held_changes{kind='deletion'}": constant(12)}),
    "RegionTickQuarantined": World(changes={"region_operator_regions{state='quarantined'}": constant(1)}),
    "RegionTickOvercommitted": World(changes=condition("Overcommitted", "TicksLost")),
    "RegionTickLedgerStands": World(
        changes={"region_operator_ledger_looked_until_timestamp_seconds": lambda minute: 60.0 * min(minute, 60)}
    ),
    "RegionTickLedgerFails": World(changes={"region_operator_ledger_failures_total": growing(0.2)}),
    "RegionTickEditsUnheard": World(changes=condition("EditsUnheard", "NoNotifications")),
    "RegionTickClockSkew": World(changes=condition("ClockSkew", "ClocksDiffer")),
    "RegionTickQueueStuck": World(changes={"region_worker_oldest_due_task_seconds": constant(1000)}),
    "RegionTickWorkersGone": World(workers_end=60),
    "RegionTickHeartbeatFails": World(
        changes={
            "region_operator_heartbeats_total{result='sent'}": constant(5),
            "region_operator_heartbeats_total{result='failed'}": growing(0.2),
        },
        minutes=180,
    ),
    "RegionTickForgottenPause": World(changes={"region_operator_oldest_pause_seconds": constant(90_000)}),
    "RegionTickSuspended": World(
        changes={
            READY: constant(0),
            "region_operator_condition{type='Ready', status='True', reason='RegionsQuarantined'}": constant(1),
            "region_operator_condition_since_timestamp_seconds{type='Suspended'}": constant(60),
        },
        minutes=DAY + 30,
    ),
}
"""A world in which nothing is wrong but what the alert tells of."""
ALSO = {"RegionTickFreshnessBurnsFast": ("RegionTickFreshnessBurnsSlowly",)}
"""What fires too: what is too fast for now is too fast for days."""


def firing(at: int, *names: str) -> dict[str, Any]:
    """Expect that at a minute these alerts fire, with those that cannot but follow, and no others."""
    expected = sorted({*names, *(other for name in names for other in ALSO.get(name, ()))})
    return {
        "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{at}m",
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected],
    }


def run(folder: Path, *tests: dict[str, Any]) -> None:
    """Have promtool run the tests on the rules as they are installed. Raises AssertionError with what it says."""
    (folder / "rules.yaml").write_text(rules_file())
    file = folder / "tests.yaml"  # JSON is YAML too, and written in a moment
    file.write_text(json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules_file())
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_trouble() -> None:
    assert list(TROUBLES) == [alert.name for alert in ALERTS]


@pytest.mark.parametrize("name", TROUBLES)
def test_an_alert_fires_in_its_own_trouble_and_no_other_does(name: str, tmp_path: Path) -> None:
    world = TROUBLES[name]
    run(tmp_path, promtool_test(world, [firing(world.minutes - 1, name)]))


def test_nothing_fires_in_good_times_and_while_the_leader_changes(tmp_path: Path) -> None:
    run(
        tmp_path,
        promtool_test(World(), [firing(minute) for minute in range(0, 120, 7)]),
        promtool_test(World(pods=RESTARTED), [firing(minute) for minute in range(55, 120)]),
    )


@pytest.mark.parametrize("name", ["RegionTickOperatorGone", "RegionTickWorkersGone"])
def test_who_is_gone_is_not_forgotten_in_a_night(name: str, tmp_path: Path) -> None:
    world = replace(TROUBLES[name], minutes=12 * 60)
    run(tmp_path, promtool_test(world, [firing(world.minutes - 1, name)]))


def test_a_leader_that_says_nothing_of_late_regions_is_told_of(tmp_path: Path) -> None:
    world = World(changes={"region_operator_objective_ratio": lambda _: None})
    run(tmp_path, promtool_test(world, [firing(25), firing(119, "RegionTickLedgerFails")]))


MODEST = {"region_operator_objective_ratio": constant(0.8)}
BURNING: dict[str, tuple[World, tuple[str, ...]]] = {
    "nearly all of a modest objective": (
        World(changes=MODEST | {"region_operator_regions_behind_objective": constant(45)}),
        ("RegionTickFreshnessBurnsFast",),
    ),
    "half of a modest objective": (
        World(changes=MODEST | {"region_operator_regions_behind_objective": constant(25)}),
        ("RegionTickFreshnessBurnsSlowly",),
    ),
    "no objective": (
        World(
            changes={
                "region_operator_objective_ratio": constant(0),
                "region_operator_regions_behind_objective": constant(50),
            }
        ),
        (),
    ),
}


@pytest.mark.parametrize("what", BURNING)
def test_an_objective_of_any_size_can_be_missed_but_none(what: str, tmp_path: Path) -> None:
    world, names = BURNING[what]
    run(tmp_path, promtool_test(world, [firing(world.minutes - 1, *names)]))


@pytest.mark.parametrize(("ticks", "names"), [(2, ()), (3, ("RegionTickFailing",))])
def test_a_failed_tick_or_two_of_few_are_no_alert(ticks: int, names: tuple[str, ...], tmp_path: Path) -> None:
    changes = {
        "region_operator_ticks_total{state='succeeded', reason='ok'}": growing(0.1),
        "region_operator_ticks_total{state='failed', reason='error'}": lambda minute: ticks * (minute >= 100),
    }
    run(tmp_path, promtool_test(World(changes=changes), [firing(119, *names)]))


SPANNING = ("RegionTickMissed", "RegionTickHeld", "RegionTickFreshnessBurnsFast", "RegionTickQuarantined")


@pytest.mark.parametrize("name", SPANNING)
def test_what_is_wrong_stays_wrong_for_the_next_leader(name: str, tmp_path: Path) -> None:
    """A gap of a minute or two is no end: the alert fires before, and after it has waited anew."""
    world = World(changes=TROUBLES[name].changes, pods=RESTARTED)
    run(tmp_path, promtool_test(world, [firing(59, name), firing(100, name)]))


def test_the_next_leader_neither_loses_nor_repeats_a_tick(tmp_path: Path) -> None:
    """Half an hour has 30 x 5 missed ticks, whenever one looks."""
    world = World(changes=TROUBLES["RegionTickMissed"].changes, pods=RESTARTED)
    increase = f'sum(increase({TICKS}{{state="missed"}}[30m]))'
    counts = [
        {"expr": f"({increase} > bool 144) * ({increase} < bool 156)", "eval_time": f"{minute}m", "exp_samples": [_ONE]}
        for minute in (59, 65, 75, 119)
    ]
    run(tmp_path, promtool_test(world, counts))


_ONE = {"labels": "{}", "value": 1}


def test_the_annotations_name_the_reason_and_the_page(tmp_path: Path) -> None:
    world = TROUBLES["RegionTickMissed"]
    missed = {
        "alertname": "RegionTickMissed",
        "eval_time": "119m",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "warning", "namespace": "region-tick", "reason": "no node"},
                "exp_annotations": {
                    "summary": "Ticks of region-tick are missed: no node",
                    "description": '9.1 % of the ticks of the last half hour were missed with the reason "no node".',
                    "runbook_url": "https://git.example.com/region-tick/docs/runbooks/RegionTickMissed.md",
                },
            }
        ],
    }
    run(tmp_path, promtool_test(world, [], alert_rule_test=[missed]))
