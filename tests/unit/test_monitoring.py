"""docs/monitoring: what is installed is what the code says, every expression can be read, and every page is there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

from docs.generator.output import find_outdated
from docs.generator.source import CHECKOUT, Texts
from docs.monitoring.__main__ import FOLDER, make_files
from docs.monitoring.alerts import ALERTS, Alert, Severity
from docs.monitoring.dashboard import UID, config_map, dashboard
from docs.monitoring.expressions import RECORDS
from docs.monitoring.panels import ROWS
from docs.monitoring.rules import prometheus_rule, rules_file
from region_operator.console.reasons import REASONS
from region_operator.plan import conditions
from region_operator.plan.conditions import ConditionType, ReadyReason
from region_operator.runtime import condition_metrics, freshness_metrics, metrics, tick_metrics
from region_tick.contract import Reason
from region_worker import metrics as worker_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTERED = (metrics, tick_metrics, freshness_metrics, condition_metrics, worker_metrics)
RUNBOOKS = CHECKOUT / "docs/runbooks"
RECORDED = {record.name for record in RECORDS}
OF_THE_PROCESS = {"process_resident_memory_bytes"}
SECTIONS = ["What you see", "Why", "What to do", "How to know it is over"]


def served() -> set[str]:
    """Return the names of all series that operator and worker can serve."""
    assert REGISTERED
    names = set(OF_THE_PROCESS)
    for family in REGISTRY.collect():
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {f"{family.name}_{end}" for end in ("bucket", "count", "sum")}
            case _:
                names.add(family.name)
    return names


def expressions() -> Iterator[tuple[str, str]]:
    """Yield every expression of rules and dashboard, with where it stands."""
    for record in RECORDS:
        yield record.name, record.expr
    for alert in ALERTS:
        yield alert.name, alert.expr
    for row in ROWS:
        for panel in row.panels:
            for query in panel.queries:
                expr = query.expr.replace("$__rate_interval", "4m").replace("$namespace", ".*")
                yield panel.title, expr


EXPRESSIONS = [pytest.param(expr, id=where) for where, expr in expressions()]


def selected(expr: str) -> set[str]:
    """Return the names of the series that an expression asks for."""
    without_texts = re.sub(r'"[^"]*"', '""', promql_parser.parse(expr).prettify())
    return set(re.findall(r"\b(?:region|process|namespace)\w*(?::\w+)*\b", without_texts)) - {"namespace", "region"}


def test_the_files_are_as_the_code_says() -> None:
    wrong = [str(path.relative_to(CHECKOUT)) for path in find_outdated(make_files())]
    assert not wrong, f"{', '.join(wrong)}: differs from the code, run make monitoring"


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_can_be_read_and_asks_for_what_is_served(expr: str) -> None:
    names = selected(expr)
    assert names
    assert names - served() - RECORDED == set()


def test_what_an_expression_asks_for_is_found() -> None:
    expr = 'max by (namespace, reason) (region_operator_condition{type="x"}) > 1 * namespace:region_operator_a:max'
    assert selected(expr) == {"region_operator_condition", "namespace:region_operator_a:max"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_a_page_and_a_name_that_goes_to_its_people(alert: Alert) -> None:
    assert re.fullmatch(r"RegionTick([A-Z][a-z]+)+", alert.name)
    assert "kube_" not in alert.expr
    page = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert page.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    assert alert.summary
    assert alert.description.endswith(".")


def test_every_page_belongs_to_an_alert_and_the_guide_leads_to_each() -> None:
    names = {alert.name for alert in ALERTS}
    assert len(names) == len(ALERTS)
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == names
    guide = (CHECKOUT / "docs/monitoring.md").read_text()
    assert {name for name in names if f"(runbooks/{name}.md)" not in guide} == set()


def test_every_metric_reason_and_condition_is_on_a_page() -> None:
    pages = {
        page: (CHECKOUT / f"docs/reference/{page}.md").read_text() for page in ("metrics", "ledger", "status", "alerts")
    }
    ours = {name for name in served() - OF_THE_PROCESS if name.startswith("region_")}
    names = {re.sub("_(bucket|count|sum)$", "", name) for name in ours}
    assert {name for name in names if f"`{name}`" not in pages["metrics"]} == set()
    assert {reason for reason in Reason if f"`{reason}`" not in pages["ledger"]} == set()
    known = [*(each.value for each in ReadyReason), *(each.value for each in ConditionType)]
    assert {each for each in known if f"`{each}`" not in pages["status"]} == set()
    assert {alert.name for alert in ALERTS if f"[{alert.name}]" not in pages["alerts"]} == set()


def test_each_reason_that_an_alert_about_ready_names_stands_in_its_runbook() -> None:
    """Of a reason without an alert of its own the runbook is all that somebody reads at night."""
    alert = next(alert for alert in ALERTS if alert.name == "RegionTickNotReady")
    others = re.search('reason!~"([^"]*)"', alert.expr)
    assert others
    texts = Texts(conditions)
    named = [reason for reason in ReadyReason if "Ready is True" not in texts.of(ReadyReason, reason.name)]
    named = [reason for reason in named if not re.fullmatch(others[1], reason)]
    assert ReadyReason.OUTDATED_CRD in named
    page = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert [reason.value for reason in named if f"`{reason}`" not in page] == []


def test_who_is_called_is_led_to_the_plugin_first() -> None:
    """But for what is no business of ticks, and for an API server through which the plugin asks."""
    without = {f"RegionTick{name}" for name in ("ApiServerAway", "HeartbeatFails", "QueueStuck", "WorkersGone")}
    for name in {alert.name for alert in ALERTS} - without:
        first = (RUNBOOKS / f"{name}.md").read_text().partition("## What to do\n\n1. ")[2].partition("\n2. ")[0]
        assert re.search(r"kubectl region (status|doctor) -n NAMESPACE", first), name


def test_what_to_do_about_each_reason_is_on_the_page_to_which_the_runbooks_lead() -> None:
    for name in ("RegionTickMissed", "RegionTickFailing"):
        assert "(../reference/ledger.md#reasons)" in (RUNBOOKS / f"{name}.md").read_text()
    page = (CHECKOUT / "docs/reference/ledger.md").read_text()
    remedies = {reason: explained.remedy for reason, explained in REASONS.items() if explained.remedy}
    assert len(remedies) == len(Reason) - 1
    assert {reason for reason, remedy in remedies.items() if remedy not in page} == set()


def test_the_rule_is_the_file_of_rules() -> None:
    rule = yaml.safe_load(prometheus_rule())
    assert rule["spec"] == yaml.safe_load(rules_file())
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
    assert {each["labels"]["severity"] for each in alerts} == {severity.value for severity in Severity}
    assert all(each["annotations"]["runbook_url"].endswith(f"/{each['alert']}.md") for each in alerts)


def test_the_dashboard_is_one_that_every_grafana_can_take() -> None:
    made = dashboard()
    assert (made["uid"], "id" in made) == (UID, False)
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    assert {variable["name"] for variable in made["templating"]["list"]} == {"datasource", "namespace"}
    assert {source["uid"] for source in _sources(made)} == {"${datasource}"}
    assert [panel["title"] for panel in made["panels"] if panel["type"] == "row"] == [row.title for row in ROWS]
    assert json.loads(yaml.safe_load(config_map())["data"]["region-tick.json"]) == made


def test_no_panel_covers_another() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & cells
        assert max(x for x, _ in covered) < 24
        cells |= covered


def test_kubectl_applies_no_file_that_is_no_object() -> None:
    for path in FOLDER.glob("*.yaml"):
        assert {"apiVersion", "kind"} <= yaml.safe_load(path.read_text()).keys()


def _sources(value: Any) -> Iterator[dict[str, str]]:
    if isinstance(value, dict):
        if isinstance(value.get("datasource"), dict):
            yield value["datasource"]
        for each in value.values():
            yield from _sources(each)
    if isinstance(value, list):
        for each in value:
            yield from _sources(each)
