"""Reads the environment variables that the operator wrote into the tick's pod, once and into one value.

A missing or bad variable raises an error with the variable's name, its value and the remedy. The claim module judges
whether the time in the Job's name is credible: the judgement needs the database's clock.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from region_tick.contract import Variable, tick_at_of
from region_tick.database_url import DatabaseUrl, DatabaseUrlError
from region_tick.handlers import BoundingBox, Region

if TYPE_CHECKING:
    from collections.abc import Mapping


class EnvironmentVariableError(ValueError):
    """A variable is missing or cannot be used. The message has its name, its value (never a secret) and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the pod's environment says about one tick."""

    database: DatabaseUrl
    source: str
    """The region table's qualified name, e.g. `public.region_index`."""
    installation: str
    """Who made the CronJob; "" if an older release did."""
    region: Region
    cron: str
    handler: str
    scheduled_at: datetime | None
    """The minute (UTC) in the Job's name; None for a Job that was not created by the CronJob controller."""
    job_name: str
    job_uid: str
    pod: str
    node: str
    timeout_seconds: int
    """How long this process may run."""
    start_deadline_seconds: int
    """The CronJob's startingDeadlineSeconds: how late a tick may start."""
    max_window_seconds: int | None = None
    """How much time the window may cover; None: any time."""
    failed_log_lines: int = 0
    """How many of its last log lines the attempt leaves in its row, if it fails."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The region's parameters."""
    rerun_of: datetime | None = None
    """The tick (UTC) that is to be run again; None for a tick of its own time and for a manual run."""
    rerun_by: str = ""
    """Who asked for the rerun, as they say."""

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """Read the variables of contract.Variable. Raises EnvironmentVariableError."""
        job_name = _text(variables, Variable.JOB_NAME)
        return cls(
            database=_database(variables),
            source=_text(variables, Variable.SOURCE),
            installation=variables.get(Variable.INSTALLATION, ""),
            region=Region(
                id=_text(variables, Variable.REGION_ID),
                code=_text(variables, Variable.REGION_CODE),
                name=variables.get(Variable.REGION_NAME, ""),
                bbox=_bbox(variables),
            ),
            cron=_text(variables, Variable.REGION_CRON),
            handler=_text(variables, Variable.HANDLER),
            scheduled_at=tick_at_of(job_name, cronjob=_text(variables, Variable.CRONJOB_NAME)),
            job_name=job_name,
            job_uid=_text(variables, Variable.JOB_UID),
            pod=_text(variables, Variable.POD_NAME),
            node=_text(variables, Variable.NODE_NAME),
            timeout_seconds=_seconds(variables, Variable.TIMEOUT_SECONDS),
            start_deadline_seconds=_seconds(variables, Variable.START_DEADLINE_SECONDS),
            max_window_seconds=(
                _seconds(variables, Variable.MAX_WINDOW_SECONDS) if variables.get(Variable.MAX_WINDOW_SECONDS) else None
            ),
            failed_log_lines=_failed_log_lines(variables),
            params=_params(variables),
            rerun_of=_rerun_of(variables),
            rerun_by=variables.get(Variable.RERUN_BY, ""),
        )


def _text(variables: Mapping[str, str], variable: Variable) -> str:
    text = variables.get(variable, "")
    if not text:
        state = "empty" if variable in variables else "missing"
        raise EnvironmentVariableError(
            f"{variable} is {state}: the operator sets it in every CronJob that it keeps; "
            "where you run the image by hand, set it yourself"
        )
    return text


def _seconds(variables: Mapping[str, str], variable: Variable) -> int:
    text = _text(variables, variable)
    if re.fullmatch(r"0*[1-9][0-9]{0,6}", text) is None:
        raise EnvironmentVariableError(
            f"{variable} is {text!r}: write a whole number of seconds, at least 1 and at most 9999999, e.g. 600"
        )
    return int(text)


def _failed_log_lines(variables: Mapping[str, str]) -> int:
    text = variables.get(Variable.FAILED_LOG_LINES, "") or "0"
    if re.fullmatch(r"[0-9]{1,3}", text) is None:
        raise EnvironmentVariableError(
            f"{Variable.FAILED_LOG_LINES} is {text!r}: write a number of lines, at most 999, or leave it out"
        )
    return int(text)


def _bbox(variables: Mapping[str, str]) -> BoundingBox | None:
    text = variables.get(Variable.REGION_BBOX, "")
    if not text:
        return None
    try:
        box = BoundingBox(*(Decimal(part) for part in text.split(",")))
    except (InvalidOperation, TypeError):
        box = None
    if box is None or not all(side.is_finite() for side in (box.min_lon, box.min_lat, box.max_lon, box.max_lat)):
        raise EnvironmentVariableError(
            f"{Variable.REGION_BBOX} is {text!r}: write min_lon,min_lat,max_lon,max_lat as four decimals, "
            "e.g. 8.44,47.32,8.63,47.44, or leave it out"
        )
    return box


def _rerun_of(variables: Mapping[str, str]) -> datetime | None:
    text = variables.get(Variable.RERUN_OF, "")
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:00Z").replace(tzinfo=UTC)
    except ValueError as error:
        raise EnvironmentVariableError(
            f"{Variable.RERUN_OF} is {text!r}: write the minute of a tick in UTC, e.g. 2026-11-30T01:05:00Z, "
            "or leave it out"
        ) from error


def _params(variables: Mapping[str, str]) -> Mapping[str, Any]:
    text = variables.get(Variable.REGION_PARAMS, "")
    try:
        params = json.loads(text or "{}")
    except (ValueError, RecursionError):
        params = None
    if not isinstance(params, dict):
        raise EnvironmentVariableError(
            f'{Variable.REGION_PARAMS} is {text[:80]!r}: write a JSON object, e.g. {{"depth": 3}}, or leave it out'
        )
    return params


def _database(variables: Mapping[str, str]) -> DatabaseUrl:
    try:
        return DatabaseUrl.parse(_text(variables, Variable.DATABASE_URL))
    except DatabaseUrlError as error:
        raise EnvironmentVariableError(f"{Variable.DATABASE_URL} cannot be used: {error}") from error
