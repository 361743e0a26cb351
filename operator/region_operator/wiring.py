"""kopf and nothing else: a timer whose body waits until a reconcile is due, and the events that make it due.

The timer never returns a value, never patches and never raises: a failed patch would end it for good, in silence. It
has no finalizer (see docs/decisions/0001-timer-without-finalizer.md), so the DELETED event stops it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import kopf
from kopf._core.engines.peering import Identity

from region_operator.cronjobs.labels import APP
from region_operator.reconcile import LIMIT_SECONDS
from region_operator.runtime.backoff import Backoffs
from region_operator.scheduler import APPROVAL_ANNOTATION, GROUP, PLURAL, VERSION

if TYPE_CHECKING:
    from region_operator.kube.nudge import Nudger
    from region_operator.loop import ReconcileLoop

log = logging.getLogger(__name__)

ECHO_SECONDS = 0.1
"""How much later than its event the answer to a write of our own may come."""


@dataclasses.dataclass(slots=True)
class Memo:
    """What kopf hands to every handler. `known` has of each RegionScheduler, by uid, what its last event said."""

    loop: ReconcileLoop
    nudger: Nudger
    known: dict[str, tuple[int, str | None]] = dataclasses.field(default_factory=dict)

    def __copy__(self) -> Memo:
        return self  # kopf copies the memo for each object; here it is shared


async def operate(namespace: str, memo: Memo) -> None:
    """Run kopf in one namespace until SIGTERM or SIGINT."""
    objects = logging.getLogger("kopf.objects")
    objects.setLevel(logging.ERROR)  # its warnings are of timers that take time to end, which `stopped` answers
    objects.addFilter(slim)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_calm)
    await kopf.operator(
        registry=_registry(),
        settings=_settings(),
        memo=memo,
        namespaces=[namespace],
        identity=Identity(socket.gethostname()),  # kopf would ask for the user's name, which a container's uid has not
    )


def slim(record: logging.LogRecord) -> bool:
    """Let a line of kopf's about an object name it, instead of carrying all of kopf's settings. A logging filter."""
    said = vars(record)
    said.pop("settings", None)
    said.pop("k8s_skip", None)
    if reference := said.pop("k8s_ref", None):
        said["object"] = f"{reference['kind']}/{reference['name']}"
    return True


def _registry() -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(_on_event)
    kopf.on.event("batch", "v1", "cronjobs", registry=registry)(_on_cronjob)
    kopf.on.event("batch", "v1", "jobs", labels={"app": APP}, registry=registry)(_on_job)
    kopf.on.event("", "v1", "resourcequotas", registry=registry)(_on_quota)
    kopf.on.timer(GROUP, VERSION, PLURAL, id="reconcile", interval=0.1, when=_exists, registry=registry)(_reconcile)
    handlers = registry._spawning._handlers
    handlers[:] = [dataclasses.replace(handler, requires_finalizer=False) for handler in handlers]
    return registry


def _settings() -> kopf.OperatorSettings:
    """Return kopf's settings: one namespace, no scanning (so a Role suffices), no peering, no posting of logs as
    Events.
    """
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["batch", "v1", "jobs"] = f"app={APP}"
    settings.watching.field_selectors["batch", "v1", "jobs"] = (
        "status.successful=0"  # or a start would read all history
    )
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = Backoffs()  # kopf's own end after a minute, and the process with them
    settings.queueing.idle_timeout = 0.2
    settings.background.cancellation_polling = 2
    settings.background.instant_exit_timeout = 2
    settings.process.ultimate_exiting_timeout = (
        None  # `runtime.shutdown` ends what hangs, also where the event loop does
    )
    return settings


def _calm(record: logging.LogRecord) -> bool:
    """Let through what kopf calls an error and mends itself as what it is: nobody has to do anything about it yet."""
    if record.name.startswith("kopf.") and record.levelno == logging.ERROR and "will retry" in record.getMessage():
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    info = kopf.login_with_service_account(**kwargs)
    if info is None:
        return kopf.login_with_kubeconfig(**kwargs)
    # By address, as every in-cluster client does: kopf's own choice, a DNS name, fails wherever DNS does.
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return dataclasses.replace(info, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


def _exists(uid: str, memo: Memo, **_: Any) -> bool:
    return uid not in memo.loop.gone


async def _on_event(type: str | None, uid: str, meta: kopf.Meta, memo: Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    if type == "DELETED":
        memo.loop.forget(uid)
        return
    if uid not in memo.known:
        memo.loop.expect_progress(uid, LIMIT_SECONDS)
    said = (meta["generation"], meta.annotations.get(APPROVAL_ANNOTATION))  # an annotation changes no generation
    if memo.known.get(uid) != said:
        memo.known[uid] = said
        memo.loop.timer.wake()


async def _on_cronjob(type: str | None, body: kopf.Body, memo: Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    """Wake the reconcile where a CronJob is not as a reconcile saw or left it: a CronJob of ours, or one in the way."""
    reconciler, deleted = memo.loop.reconciler, type == "DELETED"
    if reconciler.echo_filter.is_news(body, deleted=deleted):
        await asyncio.sleep(ECHO_SECONDS)
        if reconciler.echo_filter.is_news(body, deleted=deleted):
            reconciler.ledger.mark_stale()
            memo.loop.timer.wake()


async def _on_job(type: str | None, body: kopf.Body, memo: Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    memo.nudger.observe_job(body, deleted=type == "DELETED")
    memo.loop.reconciler.ledger.job_watch.observe(body, deleted=type == "DELETED")


async def _on_quota(type: str | None, body: kopf.Body, memo: Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
    memo.nudger.observe_quota(body, deleted=type == "DELETED")


async def _reconcile(namespace: str | None, name: str, uid: str, memo: Memo, **kwargs: Any) -> None:
    assert namespace is not None  # noqa: S101 - the resource is namespaced
    stopped: kopf.DaemonStopped = kwargs["stopped"]  # timers get it too, though kopf's types and docs do not say so
    await memo.loop.timer.wait(stopped.wait())
    if not stopped:
        attempt = asyncio.ensure_future(memo.loop.attempt(namespace, name, uid))
        stop = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({attempt, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            attempt.cancel()  # told to stop, it stops amid its writes: kopf would wait for 5 s, and do the same then
        await asyncio.wait({attempt})
