"""Saves what the guards must remember, in the RegionScheduler's status, before anything is changed.

A deletion with an unknown outcome is then counted too, and a new leader decides by what the last leader did.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn

from kubernetes.aio.client import ApiException

from region_operator.errors import ReconcileError
from region_operator.kube.status_writer import write_status
from region_operator.plan.conditions import ReadyReason
from region_operator.plan.status import status_with_guard

if TYPE_CHECKING:
    from region_operator.kube.api import Api
    from region_operator.plan.deletion_guard import Decision
    from region_operator.scheduler import Scheduler


RACES_BEFORE_FAILURE = 8
"""How many lost races in succession are no failure. So many back-offs take half a minute together."""


class RaceError(Exception):
    """Somebody changed the RegionScheduler during a reconcile, before the reconcile changed anything."""

    def __init__(self) -> None:
        super().__init__("the RegionScheduler was changed meanwhile")


class GuardStateSaver:
    """Saves the guard's state, and counts the races that were lost in succession."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._races = 0

    async def save(self, scheduler: Scheduler, decision: Decision) -> Scheduler:
        """Save the guard's new state, and return the RegionScheduler with the state.

        The write succeeds only if the RegionScheduler is unchanged since it was read. Otherwise two operators could
        decide at the same time and each use up the whole allowance. Raises RaceError, ReconcileError also if races go
        on, and what `api.ERRORS` lists.
        """
        wanted = status_with_guard(scheduler, decision, now=self._api.now())
        try:
            saved = await write_status(self._api, scheduler, wanted, as_read=True)
        except ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            self._lose_race(error)
        self._races = 0
        if saved.status != wanted:
            raise ReconcileError(
                ReadyReason.OUTDATED_CRD,
                "the RegionScheduler does not keep what the deletion guard must remember, so nothing is changed:"
                " its CustomResourceDefinition is older than the operator; run kubectl apply -f crds",
            )
        return saved

    def _lose_race(self, error: ApiException) -> NoReturn:
        """Raise RaceError: the next reconcile begins at once. Raises ReconcileError if races go on."""
        self._races += 1
        race = RaceError()
        if self._races <= RACES_BEFORE_FAILURE:
            raise race from error
        message = f"{race}, {self._races} times in a row: its managedFields say by whom"
        raise ReconcileError(ReadyReason.APPLY_FAILED, message) from error
