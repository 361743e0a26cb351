"""manifests/30-rbac.yaml: the operator asks for nothing that is refused, and has no right that it never asks for.

The API server's audit log says what the operator's pods have asked for. A story makes the operator ask for all that it
may need: a first start, edits, a bad row, changes of `spec.tick`; and, in the long form, ticks that wait, fail, get no
pod or leave no row. What the console and people ask for is compared with their Roles in test_plugin.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.plugin import LOOK_AND_ACT
from tests.harness.kubectl import Kubectl
from tests.harness.long import LONG
from tests.harness.rbac import Right, asked, granted, granted_by, unused
from tests.harness.regions import add_regions
from tests.harness.waiting import eventually
from tests.node.installation import (
    CONSOLE,
    MANIFESTS,
    NAMESPACE,
    USERS_IMAGE,
    create_secret,
    empty,
    wait_until_ready,
)
from tests.node.test_causes import PYTHON, Change, container, expect_ticks, final_rows, start_ticks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from devcluster.local import LocalCluster
    from tests.node.installation import Installation

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

OPERATOR = f"system:serviceaccount:{NAMESPACE}:region-operator"
TICKS = f"system:serviceaccount:{NAMESPACE}:default"
OF_CONSOLE = f"system:serviceaccount:{NAMESPACE}:{CONSOLE}"
GRANTED, CONSOLES = map(granted_by, ("30-rbac.yaml", "console/rbac.yaml"))
PEOPLES = granted_by("people/clusterroles.yaml", *LOOK_AND_ACT)

ELSEWHERE = {
    Right("cronjobs.batch", "get"): "after a conflict: tests/faults/test_rights.py",
    Right(
        "jobs.batch", "list"
    ): "an API server that streams no lists, or many ticks whose Jobs nobody saw: job_watch.py",
}
"""What this story cannot make the operator ask for, and where that is seen."""

OF_TICKS = {Right("jobs.batch", verb) for verb in ("get", "patch", "delete")} | {
    Right("pods", "list"),
    Right("events", "list"),
}

DELETE_A_JOB = Right("jobs.batch", "delete")

CHANGES: dict[str, Change] = {
    "no-image": container(image="127.0.0.1:1/nobody/has-this:1"),
    "refused": container(securityContext={}),
    "silent": container(command=[PYTHON, "-c", ""]),
} | {f"long-{number}": container() for number in range(5)}
"""Ticks that share two slots, one of which `no-image` keeps: the second of the long ones waits, the last in vain."""


@pytest.fixture
def story(node: LocalCluster, installation: Installation, database: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Have the operator do all kinds of its work. Return where the audit log of it begins.

    The log has other tests' operators before: one that is being uninstalled loses its rights while it still runs.
    """
    installation.remove()
    since = node.audit_log.stat().st_size
    empty(database)
    kubectl = Kubectl(node.kubeconfig, NAMESPACE)
    kubectl("apply", "-f", str(MANIFESTS))
    installation.stands = True
    create_secret(kubectl, database, node)
    wait_until_ready(kubectl)
    add_regions(database, ["first"])
    add_regions(database, ["bad"], cron="61 * * * *")
    for timeout in ("10s", "11s", "12s", "13s"):
        spec = {"refreshInterval": "2s", "tick": {"image": USERS_IMAGE, "timeout": timeout}}
        kubectl("patch", "regionscheduler", "default", "--type=merge", "--patch", json.dumps({"spec": spec}))
        eventually(lambda: is_taken(kubectl), what="spec.tick is taken", seconds=60)
    database.execute("DELETE FROM public.region_index WHERE code = 'first'")
    eventually(lambda: not kubectl.cronjobs(), what="the CronJob goes", seconds=60)
    if LONG:
        database.execute("CREATE TABLE public.effects (region text, tick_at timestamptz, attempt int)")
        minute = expect_ticks(kubectl, database, *CHANGES, handler="work:longest", startDeadline="45s", timeout="40s")
        kubectl("patch", "regionscheduler", "default", "--type=merge", "--patch", '{"spec": {"concurrency": 2}}')
        eventually(lambda: is_taken(kubectl), what="two slots", seconds=60)
        eventually(lambda: datetime.now(UTC) > minute - timedelta(seconds=3), what="their minute", seconds=120)
        start_ticks(kubectl, minute, CHANGES)
        eventually(lambda: len(final_rows(database)) == len(CHANGES), what="every tick has its row", seconds=300)
        eventually(lambda: not unused({DELETE_A_JOB}, used(node, since)), what="a Job that waited goes", seconds=60)
    return since


@pytest.fixture(scope="module")
def optional(installation: Installation) -> Iterator[None]:
    """The rights of the console, and of `ana`, who may look and act, beside those of the operator."""
    if not installation.stands:
        installation.renew()
    kubectl = installation.kubectl
    manifests = ("-f", str(MANIFESTS / "console/rbac.yaml"), "-f", str(MANIFESTS / "people"))
    kubectl("apply", *manifests)
    for role in LOOK_AND_ACT:
        kubectl("create", "rolebinding", f"ana-{role}", f"--clusterrole={role}", "--user=ana")
    yield
    kubectl("delete", "rolebindings", *(f"ana-{role}" for role in LOOK_AND_ACT))
    kubectl("delete", *manifests)


def is_taken(kubectl: Kubectl) -> bool:
    return kubectl.is_observed() and not kubectl.condition("Reconciling")


def used(node: LocalCluster, since: int) -> set[Right]:
    return {right for _, right in asked(node.audit_log, OPERATOR, since=since)}


def test_nothing_that_the_operator_asks_for_is_refused_and_it_asks_for_all_that_it_may(
    node: LocalCluster, story: int
) -> None:
    answers = asked(node.audit_log, OPERATOR, since=story)
    assert {str(right) for allowed, right in answers if not allowed} == set()
    expected = GRANTED if LONG else GRANTED - OF_TICKS
    assert sorted(map(str, unused(expected, used(node, story)) - ELSEWHERE.keys())) == []


@pytest.mark.parametrize(
    ("user", "namespace", "rights"),
    [
        (OPERATOR, NAMESPACE, GRANTED),
        (OPERATOR, "default", set()),
        (TICKS, NAMESPACE, set()),
        (OF_CONSOLE, NAMESPACE, CONSOLES),
        (OF_CONSOLE, "default", set()),
        ("ana", NAMESPACE, PEOPLES),
        ("ana", "default", set()),
    ],
    ids=[
        "the operator at home",
        "the operator elsewhere",
        "ticks and workers",
        "the console at home",
        "the console elsewhere",
        "a person at home",
        "a person elsewhere",
    ],
)
@pytest.mark.usefixtures("optional")
def test_everyone_can_do_what_the_manifests_say_and_what_all_can_do(
    user: str, namespace: str, rights: set[Right], installation: Installation
) -> None:
    everybody = rights_of(installation.kubectl, "system:serviceaccount:default:nobody", namespace)
    assert rights_of(installation.kubectl, user, namespace) - everybody == rights


def rights_of(kubectl: Kubectl, user: str, namespace: str) -> set[Right]:
    """Return what the API server says that a user may do in a namespace."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    options = ("--output=json", "--validate=false", f"--as={user}", "--as-group=system:serviceaccounts")
    said = kubectl("create", "-f", "-", *options, "--as-group=system:authenticated", stdin=json.dumps(review))
    return granted(json.loads(said)["status"]["resourceRules"])
