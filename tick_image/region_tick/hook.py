"""Calls the user's function `on_items` with the items that a region gets. POLL_ON_ITEMS names the function.

The function runs in the transaction that stores the items, before the tick's guard, so its own writes by
`tick.connection` are committed together with the items or not at all. If the function raises, only this creator's items
wait: they come again at the region's next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from psycopg.pq import TransactionStatus

from region_tick.effects import MisuseError
from region_tick.handlers import LeaseLostError, StoppedError, Tick, UnknownHandlerError, load_callable
from region_tick.poll_settings import PollSettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from region_tick.delivery import NewItem

VARIABLE = "POLL_ON_ITEMS"

OnItems: TypeAlias = Callable[[Tick, "Sequence[NewItem]"], object]


class HookError(Exception):
    """The function on_items failed. The message is for `last_error`."""


def load_hook(variables: Mapping[str, str]) -> OnItems | None:
    """Return the function that POLL_ON_ITEMS names, or None if the variable is empty. Raises PollSettingError."""
    name = variables.get(VARIABLE, "").strip()
    if not name:
        return None
    remedy = "write module:function, a function of a module that the image holds"
    try:
        return load_callable(name)
    except UnknownHandlerError as error:
        raise PollSettingError(f"{VARIABLE} is {name!r}: it {error}; {remedy}") from error.__cause__


def call_hook(function: OnItems, tick: Tick, items: Sequence[NewItem]) -> None:
    """Call the function in the open transaction.

    Raises HookError if it fails, MisuseError if it ended the transaction, StoppedError and LeaseLostError.
    """
    failure: HookError | None = None
    try:
        function(tick, items)
    except (StoppedError, LeaseLostError):
        raise
    except Exception as error:
        tick.log.exception("on_items failed", extra={"creator": items[0].creator_id, "items": len(items)})
        failure = HookError(f"on_items: {type(error).__name__}: {error}")
        failure.__cause__ = error
    status = tick.connection.info.transaction_status
    if status is TransactionStatus.IDLE:
        raise MisuseError("on_items ended the transaction (COMMIT or ROLLBACK): take that SQL out") from failure
    if failure is None and status is TransactionStatus.INERROR:
        remedy = "put it into `with tick.connection.transaction()`, if it may fail"
        failure = HookError(f"on_items left a failed statement: {remedy}")
    if failure is not None:
        raise failure
