"""Pauses on a real API server: whose annotations the operator leaves alone, and how it ends a pause that has an end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from region_operator.cronjobs.labels import PAUSE_ANNOTATIONS, PAUSED_UNTIL_ANNOTATION
from region_operator.scheduler import format_time
from tests.cluster.quiet import HOUR, marked, settled
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from tests.harness.cluster import RunOperator
    from tests.harness.kubectl import Kubectl
    from tests.harness.regions import AddRegions

PAUSE = {"paused": "true", "paused-by": "ana", "paused-reason": "moving house", "paused-since": "2026-11-30T01:00:00Z"}


def pause(kubectl: Kubectl, name: str, **more: str) -> None:
    """Pause a region as the plugin does. `until` is its end."""
    texts = PAUSE | {f"paused-{key}": text for key, text in more.items()}
    kubectl("annotate", "cronjob", name, *(f"region-tick.dev/{key}={text}" for key, text in texts.items()))


def in_seconds(seconds: float) -> str:
    return format_time(datetime.now(UTC) + timedelta(seconds=seconds))


def pause_of(kubectl: Kubectl, name: str) -> dict[str, str]:
    """Return the annotations of a CronJob's pause."""
    annotations = kubectl.get("cronjob", name)["metadata"]["annotations"]
    return {key: text for key, text in annotations.items() if key in PAUSE_ANNOTATIONS}


def is_suspended(kubectl: Kubectl, name: str) -> bool:
    return bool(kubectl.get("cronjob", name)["spec"]["suspend"])


def test_a_pause_ends_at_its_end_and_leaves_nothing(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    """The refresh interval is an hour, so the operator wakes up for the end."""
    add_regions(2)
    with run_operator(**HOUR) as operator:
        cronjobs = settled(operator, kubectl, regions=2)
        ends, stays = (cronjobs[code]["metadata"]["name"] for code in ("R1", "R2"))
        pause(kubectl, stays)
        pause(kubectl, ends, until=in_seconds(3600))
        eventually(lambda: is_suspended(kubectl, ends) and is_suspended(kubectl, stays), what="both are suspended")
        told = pause_of(kubectl, stays)
        kubectl("annotate", "cronjob", ends, f"{PAUSED_UNTIL_ANNOTATION}={in_seconds(4)}", "--overwrite")
        eventually(lambda: not is_suspended(kubectl, ends), what="one is resumed")
        eventually(lambda: pause_of(kubectl, ends) == {}, what="its annotations are gone")
        [line] = eventually(lambda: operator.logged("resumed"), what="it is logged")
        assert line["region.code"] == "R1"
        marked(kubectl)
        assert is_suspended(kubectl, stays)
        assert pause_of(kubectl, stays) == told == {f"region-tick.dev/{key}": text for key, text in PAUSE.items()}


def test_an_end_that_passed_while_no_operator_ran_counts(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        name = settled(operator, kubectl, regions=1)["R1"]["metadata"]["name"]
        pause(kubectl, name, until=in_seconds(3600))
        eventually(lambda: is_suspended(kubectl, name), what="it is suspended")
        assert operator.stop() == 0
    kubectl("annotate", "cronjob", name, f"{PAUSED_UNTIL_ANNOTATION}={in_seconds(-60)}", "--overwrite")
    with run_operator(**HOUR):
        eventually(lambda: not is_suspended(kubectl, name), what="it is resumed", seconds=60)
        assert pause_of(kubectl, name) == {}


def test_an_end_that_cannot_be_read_is_told_and_the_pause_stands(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        name = settled(operator, kubectl, regions=1)["R1"]["metadata"]["name"]
        pause(kubectl, name, until="tomorrow")
        text = 'paused without an end that can be read: R1 ("tomorrow")'
        eventually(lambda: text in kubectl.ready()["message"], what="Ready tells it")
        [line] = operator.logged("pause without an end")
        assert text in line["reason"]
        assert is_suspended(kubectl, name)
        kubectl("annotate", "cronjob", name, f"{PAUSED_UNTIL_ANNOTATION}={in_seconds(-1)}", "--overwrite")
        eventually(lambda: not is_suspended(kubectl, name), what="the end is mended")
        eventually(lambda: "paused" not in kubectl.ready()["message"], what="and nothing is told")


def test_a_region_that_was_resumed_by_hand_keeps_nothing_for_a_later_pause(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions
) -> None:
    add_regions(1)
    with run_operator(**HOUR) as operator:
        name = settled(operator, kubectl, regions=1)["R1"]["metadata"]["name"]
        pause(kubectl, name, until=in_seconds(3600))
        eventually(lambda: is_suspended(kubectl, name), what="it is suspended")
        kubectl("annotate", "cronjob", name, "region-tick.dev/paused-")
        eventually(lambda: not is_suspended(kubectl, name), what="it is resumed")
        eventually(lambda: pause_of(kubectl, name) == {}, what="the rest is gone")


def test_a_quarantined_region_loses_a_pause_that_is_over_and_stays_suspended(
    run_operator: RunOperator, kubectl: Kubectl, add_regions: AddRegions, sql: Any
) -> None:
    add_regions(2)
    with run_operator(**HOUR) as operator:
        name = settled(operator, kubectl, regions=2)["R1"]["metadata"]["name"]
        sql("UPDATE region_index SET cron_schedule = 'nonsense' WHERE code = 'R1'")
        eventually(lambda: is_suspended(kubectl, name), what="it is suspended")
        pause(kubectl, name, until=in_seconds(-1))
        eventually(lambda: pause_of(kubectl, name) == {}, what="the annotations are gone")
        marked(kubectl)
        assert is_suspended(kubectl, name)
