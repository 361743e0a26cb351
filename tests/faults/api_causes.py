"""What can happen to an API server, each as a context: the fault lasts as long as its block. All caused for real."""

from __future__ import annotations

import base64
import itertools
import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from devcluster.controlplane import certificate, key
from region_operator.kube.cronjob_watch import cronjobs_path
from region_operator.plan.conditions import ReadyReason
from tests.faults.ground import MERGE
from tests.harness.frozen import frozen as frozen_process
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.faults.ground import Ground

Cause: TypeAlias = "Callable[[Ground], AbstractContextManager[None]]"
"""Harms the API server, or what the operator may do there, until the context ends."""

NOWHERE = "https://127.0.0.1:1/"
WEBHOOK = "dead.example.com"
BUSY = "busy"
NO_SEATS = {"nominalConcurrencyShares": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}
FLOWCONTROL = "flowcontrol.apiserver.k8s.io/v1"


@contextmanager
def killed(ground: Ground) -> Iterator[None]:
    """It is lost, and comes back after a while."""
    ground.cluster.kill_api_server()
    try:
        yield
    finally:
        ground.cluster.start_api_server()


@contextmanager
def restarted(ground: Ground) -> Iterator[None]:
    """It is lost and back at once."""
    ground.cluster.kill_api_server()
    ground.cluster.start_api_server()
    yield


@contextmanager
def frozen(ground: Ground) -> Iterator[None]:
    """It keeps its connections and answers nothing."""
    with frozen_process(ground.cluster.api_server_pid):
        yield


@contextmanager
def frozen_for_a_moment(ground: Ground) -> Iterator[None]:
    """It answers nothing for 4 s: longer than an attempt at renewing the Lease, shorter than the attempts together."""
    with frozen(ground):
        threading.Event().wait(4)
    yield


@contextmanager
def dropped(ground: Ground) -> Iterator[None]:
    """Every connection ends at once, watches and all."""
    ground.proxy.drop()
    yield


@contextmanager
def deaf(ground: Ground) -> Iterator[None]:
    """Nothing passes on the connections that there are, as when a firewall has forgotten them; new ones are well."""
    ground.proxy.forget()
    yield


@contextmanager
def meddled(ground: Ground) -> Iterator[None]:
    """Somebody changes our CronJobs again and again, in all the ways that we undo."""
    names = [item["metadata"]["name"] for item in ground.kubectl.cronjobs().values()]
    turns = enumerate(itertools.cycle(names))

    def meddle() -> None:
        number, name = next(turns)
        extra = {"metadata": {"annotations": {"person.example": str(number)}}}
        body = extra | {"spec": {"suspend": number % 3 == 0, "jobTemplate": extra}}
        ground.ask("PATCH", f"{cronjobs_path(ground.namespace)}/{name}", body, content_type=MERGE)

    with repeated(meddle):
        yield


@contextmanager
def repeated(act: Callable[[], object]) -> Iterator[None]:
    """Do something again and again."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.01):
            act()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def refusing_webhook(ground: Ground) -> Iterator[None]:
    """Every write of a CronJob asks a webhook that is not there."""
    with ground.with_objects(webhook(ground, NOWHERE, "batch", "cronjobs")):
        eventually(lambda: WEBHOOK in ground.would_write(user=""), what="the webhook is asked")
        yield


@contextmanager
def throttled(
    ground: Ground, *, verbs: tuple[str, ...] = ("create", "patch", "delete"), resource: str = "cronjobs"
) -> Iterator[None]:
    """The API server has no time for some of what the operator asks: another takes all that there is for both.

    A level of no seats lets one request in at a time, so that one has to stay: its admission asks a webhook that takes
    half a minute (apiserver/pkg/util/flowcontrol/fairqueuing/queueset/queueset.go, canAccommodateSeatsLocked).
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        level = {"type": "Limited", "limited": NO_SEATS}
        slow = webhook(ground, url, "", "configmaps")
        rules = [
            {
                "subjects": [{"kind": "User", "user": {"name": user}}],
                "resourceRules": [
                    {"verbs": [*of], "apiGroups": ["*"], "resources": [what], "namespaces": [ground.namespace]}
                ],
            }
            for user, of, what in ((ground.user, verbs, resource), (BUSY, ("create",), "configmaps"))
        ]
        schema = {"matchingPrecedence": 3, "priorityLevelConfiguration": {"name": ground.namespace}, "rules": rules}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": BUSY, "namespace": ground.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": BUSY}],
        }
        with (
            ground.with_objects(
                binding,
                slow,
                {"apiVersion": FLOWCONTROL, "kind": "PriorityLevelConfiguration", "spec": level} | named(ground),
                {"apiVersion": FLOWCONTROL, "kind": "FlowSchema", "spec": schema} | named(ground),
            ),
            repeated(partial(take_all, ground)),
            silent(server, ground),
        ):
            eventually(lambda: "Too many" in ground.would_write(user=ground.user), what="there is no time")
            yield


@contextmanager
def silent(server: socket.socket, ground: Ground) -> Iterator[None]:
    """Take HTTPS connections, as one whom the cluster's authority vouches for, and answer nothing."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(ground.cluster.layout), key(ground.cluster.layout))
    connections: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connections.append(context.wrap_socket(server.accept()[0], server_side=True))

    threading.Thread(target=accept, daemon=True).start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


def take_all(ground: Ground) -> None:
    """Ask for something that takes long."""
    path = f"/api/v1/namespaces/{ground.namespace}/configmaps?dryRun=All"
    ground.ask("POST", path, {"metadata": {"name": BUSY}}, user=BUSY)


def webhook(ground: Ground, url: str, group: str, resource: str) -> dict[str, Any]:
    """Return a webhook that must be asked before any write of a resource."""
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": ["*"]}
    hook = {
        "name": WEBHOOK,
        "clientConfig": {
            "url": url,
            "caBundle": base64.b64encode(certificate(ground.cluster.layout).read_bytes()).decode(),
        },
        "failurePolicy": "Fail",
        "timeoutSeconds": 30,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ground.namespace}},
        "rules": [rule],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return kind | named(ground) | {"webhooks": [hook]}


def named(ground: Ground) -> dict[str, Any]:
    """Return the metadata of what belongs to no namespace, by a name that no other test has."""
    return {"metadata": {"name": ground.namespace}}


@contextmanager
def forbidden(ground: Ground, *rights: tuple[str, str]) -> Iterator[None]:
    """The operator's Role lacks some rights, and its connections are begun anew, as watches are every few minutes."""
    with ExitStack() as taken:
        for verb, resource in rights:
            taken.enter_context(ground.without(verb, resource))
        ground.proxy.drop()
        yield


@dataclass(frozen=True, slots=True)
class ApiFault:
    """A cause, and what is seen while it lasts.

    Without `words` all is well. With them, /readyz says them; so does the status, under `reason`, unless that cannot be
    written. `ends` is whether the operator's process ends, because it can no longer know that it leads.
    """

    name: str
    cause: Cause
    reason: ReadyReason | None = None
    words: tuple[str, ...] = ()
    ends: bool = False
    errors: frozenset[str] = frozenset()
    """The events of the log at level error."""
    pause: float = 0.0
    """How many seconds pass at least until a write that was refused is sent again."""

    def __str__(self) -> str:
        return self.name


CHANGE = frozenset({"change failed"})
LOST = frozenset({"leadership lost"})
ROLE = "30-rbac.yaml"


def lacking(verb: str, resource: str, **more: Any) -> ApiFault:
    """The fault that the operator lacks a right."""
    name = f"forbidden-{verb}-{resource.replace('/', '-')}"
    words = (f'cannot {verb} resource "{resource}"', ROLE)
    return ApiFault(name, lambda ground: forbidden(ground, (verb, resource)), words=words, **more)


API_FAULTS = [
    ApiFault("killed", killed, words=("the Lease cannot be had",), ends=True, errors=LOST),
    ApiFault("restarted", restarted),
    ApiFault("frozen", frozen, words=("the Lease cannot be had",), ends=True, errors=LOST),
    ApiFault("frozen-for-a-moment", frozen_for_a_moment),
    ApiFault("dropped", dropped),
    ApiFault("deaf", deaf),
    ApiFault("meddled", meddled),
    ApiFault("webhook", refusing_webhook, ReadyReason.APPLY_FAILED, (WEBHOOK, "refused"), errors=CHANGE),
    ApiFault("throttled", throttled, ReadyReason.THROTTLED, ("429",), errors=CHANGE, pause=0.9),
    ApiFault(
        "throttled-wholly",
        partial(throttled, verbs=("*",), resource="*"),
        words=("the Lease cannot be had", "429"),
        ends=True,
        errors=LOST,
    ),
    lacking("patch", "cronjobs", reason=ReadyReason.FORBIDDEN, errors=CHANGE),
    lacking("delete", "cronjobs", reason=ReadyReason.FORBIDDEN, errors=CHANGE),
    lacking("list", "cronjobs", reason=ReadyReason.FORBIDDEN),
    lacking("get", "regionschedulers"),
    lacking("patch", "regionschedulers/status"),
    lacking("update", "leases", ends=True, errors=LOST),
    ApiFault("forbidden-watch", lambda ground: forbidden(ground, ("watch", "cronjobs"), ("watch", "regionschedulers"))),
]
