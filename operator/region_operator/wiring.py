"""Connects the operator to kopf: a timer that waits until a reconcile is due, and the events that wake the timer.

The timer never returns a value, never patches and never raises: a failed patch would end the timer for good, without a
word. The timer has no finalizer (docs/decisions/0001-timer-without-finalizer.md), so the DELETED event stops the timer.
What the events mean is left to `loop` and `nudge`. kopf watches neither CronJobs nor Jobs, because there are many: see
`reflector`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import kopf
from kopf._core.engines.peering import Identity

from region_operator.reconcile import RECONCILE_LIMIT_SECONDS
from region_operator.runtime.backoff import Backoffs
from region_operator.scheduler import APPROVAL_ANNOTATION, GROUP, PLURAL, TAKE_OVER_ANNOTATION, VERSION

if TYPE_CHECKING:
    from region_operator.kube.nudge import Nudger
    from region_operator.loop import ReconcileLoop

log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Memo:
    """The objects that kopf passes to every handler.

    `last_seen` has the generation and a person's annotations of each RegionScheduler's last event, by uid.
    """

    loop: ReconcileLoop
    nudger: Nudger
    last_seen: dict[str, tuple[object, ...]] = dataclasses.field(default_factory=dict)

    def __copy__(self) -> Memo:
        return self  # kopf copies the memo for each object; our memo is shared


class UnknownKopfError(Exception):
    """kopf is not the release that this operator was made for. The message says which release to install."""


async def run_kopf(namespace: str, memo: Memo, registry: kopf.OperatorRegistry) -> None:
    """Run kopf in one namespace until SIGTERM or SIGINT."""
    objects = logging.getLogger("kopf.objects")
    objects.setLevel(logging.ERROR)  # its warnings say that a timer takes time to end; `_reconcile` ends in time
    objects.addFilter(shorten_kopf_record)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_downgrade_retry_errors)
    await kopf.operator(
        registry=registry,
        settings=_settings(),
        memo=memo,
        namespaces=[namespace],
        identity=Identity(socket.gethostname()),  # kopf would look up the user's name, and a container's uid has none
    )


def shorten_kopf_record(record: logging.LogRecord) -> bool:
    """Replace kopf's settings in a log record by the name of the record's object. A logging filter."""
    fields = vars(record)
    fields.pop("settings", None)
    fields.pop("k8s_skip", None)
    if reference := fields.pop("k8s_ref", None):
        fields["object"] = f"{reference['kind']}/{reference['name']}"
    return True


def make_registry() -> kopf.OperatorRegistry:
    """Return the handlers, the timer without a finalizer. Raises UnknownKopfError."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(_on_event)
    kopf.on.event("", "v1", "resourcequotas", registry=registry)(_on_quota)
    # `timer.wait` sets the pace; the interval is only a pause between two calls, which edits in a row wait for
    kopf.on.timer(GROUP, VERSION, PLURAL, id="reconcile", interval=0.01, when=_exists, registry=registry)(_reconcile)
    _take_off_finalizer(registry)
    return registry


def _take_off_finalizer(registry: kopf.OperatorRegistry) -> None:
    """Replace the timer by one without a finalizer, in a list of kopf's own. kopf has no public way."""
    try:
        handlers: list[Any] = registry._spawning._handlers
        (timer,) = handlers
        handlers[:] = [dataclasses.replace(timer, requires_finalizer=False)]
    except (AttributeError, TypeError, ValueError) as error:
        raise UnknownKopfError(
            f"kopf {version('kopf')} keeps its timers in another way than the release that this operator was made for:"
            " install the packages of requirements/operator.lock"
        ) from error


def _settings() -> kopf.OperatorSettings:
    """Return kopf's settings.

    kopf does not scan the cluster, so a Role for one namespace suffices. kopf has no peers and posts no logs as Events.
    """
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = Backoffs()  # kopf's own back-offs end after a minute, and so does the process
    settings.queueing.idle_timeout = 0.2
    settings.background.cancellation_polling = 2
    settings.background.instant_exit_timeout = 2
    settings.process.ultimate_exiting_timeout = None  # `runtime.shutdown` works even if the event loop hangs
    return settings


def _downgrade_retry_errors(record: logging.LogRecord) -> bool:
    """Turn kopf's errors about requests that kopf will retry into warnings. Nobody must act yet. A logging filter."""
    if record.name.startswith("kopf.") and record.levelno == logging.ERROR and "will retry" in record.getMessage():
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    info = kopf.login_with_service_account(**kwargs)
    if info is None:
        return kopf.login_with_kubeconfig(**kwargs)
    # By address, like every in-cluster client. kopf would choose a DNS name, and the name fails if DNS fails.
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return dataclasses.replace(info, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def _exists(uid: str, memo: Memo, **_: Any) -> bool:
    return uid not in memo.loop.gone


async def _on_event(type: str | None, uid: str, meta: kopf.Meta, memo: Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    if type == "DELETED":
        memo.loop.forget(uid)
        return
    if uid not in memo.last_seen:
        memo.loop.expect_progress(uid, RECONCILE_LIMIT_SECONDS)
    annotations = [meta.annotations.get(name) for name in (APPROVAL_ANNOTATION, TAKE_OVER_ANNOTATION)]
    seen = (meta["generation"], *annotations)  # a new annotation keeps the generation
    if memo.last_seen.get(uid) != seen:
        memo.last_seen[uid] = seen
        memo.loop.timer.end_back_off()


async def _on_quota(type: str | None, body: kopf.Body, memo: Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    memo.nudger.observe_quota(body, deleted=type == "DELETED")


async def _reconcile(namespace: str | None, name: str, uid: str, memo: Memo, **kwargs: Any) -> None:
    assert namespace is not None  # noqa: S101 - the resource is namespaced
    stopped: kopf.DaemonStopped = kwargs["stopped"]  # kopf's types and docs do not say that timers get `stopped` too
    await memo.loop.timer.wait(stopped.wait())
    if not stopped:
        attempt = asyncio.ensure_future(memo.loop.attempt(namespace, name, uid))
        stop = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({attempt, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            attempt.cancel()  # stops even during writes: kopf would wait for 5 s and then cancel too
        await asyncio.wait({attempt})
