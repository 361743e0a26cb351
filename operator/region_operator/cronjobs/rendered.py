"""Reads from a CronJob the texts for which the CronJob was last rendered. Pure.

Only a text counts that our own apply entry still owns: a field that somebody changed is not what we wrote. Most texts
are in the CronJob twice, as an annotation for people and as a variable for the tick. So an edit of one place leaves the
text known from the other place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from region_operator.cronjobs.field_sets import PARSED_SETS, FieldSet
from region_operator.cronjobs.labels import (
    BBOX_ANNOTATION,
    CODE_ANNOTATION,
    CONTAINER,
    HANDLER_ANNOTATION,
    ID_ANNOTATION,
    NAME_ANNOTATION,
    SCHEDULE_ANNOTATION,
    TIMEOUT_ANNOTATION,
)
from region_operator.cronjobs.pod_spec import unescape_dollars
from region_tick.contract import Variable

if TYPE_CHECKING:
    from region_operator.cronjobs.wire import CronJob, PodTemplate

_CONTAINERS = ("spec", "jobTemplate", "spec", "template", "spec", "containers")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The texts for which a CronJob was rendered. None: the text is unknown, because somebody changed the text.

    `written` is the schedule as the row has it, if the row's schedule differs from `cron`. `handler`, `timeout` and
    `params` are "" if the row had none. `ticks_for` is the code and the id of the region for which the CronJob ticks,
    None if unknown.
    """

    source: str | None
    code: str | None
    name: str | None
    bbox: str | None
    cron: str | None
    written: str | None
    handler: str | None
    timeout: str | None
    params: str | None
    ticks_for: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class _Owned:
    """The names of the annotations and variables that we applied and still own, and whether we own the schedule."""

    annotations: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    schedule: bool = False


def read_rendered(cronjob: CronJob, applied: FieldSet | None, variables: dict[str, str]) -> Rendered:
    """Read the texts of a CronJob. `applied` has the fields of our apply entry; `variables` is the tick's environment.

    The API server may drop an empty text. The text "" is then read.
    """
    owned = _owned(applied)
    annotations = cronjob.metadata.annotations

    def annotation(name: str) -> str | None:
        return annotations.get(name, "") if name in owned.annotations else None

    def variable(name: Variable) -> str | None:
        return unescape_dollars(variables.get(name, "")) if name in owned.variables else None

    def optional(name: str) -> str | None:
        return annotation(name) if name in owned.annotations or name in annotations else ""

    def optional_variable(name: Variable) -> str | None:
        """A CronJob of an older release lacks the variable."""
        return variable(name) if name in owned.variables or name in variables else ""

    source, code, region_id = variable(Variable.SOURCE), annotation(CODE_ANNOTATION), annotation(ID_ANNOTATION)
    schedule = cronjob.spec.schedule if owned.schedule else None
    return Rendered(
        source=source,
        code=_first_known(variable(Variable.REGION_CODE), code),
        name=_first_known(variable(Variable.REGION_NAME), annotation(NAME_ANNOTATION)),
        bbox=_first_known(variable(Variable.REGION_BBOX), annotation(BBOX_ANNOTATION)),
        cron=_first_known(variable(Variable.REGION_CRON), schedule),
        written=annotation(SCHEDULE_ANNOTATION),
        handler=optional(HANDLER_ANNOTATION),
        timeout=optional(TIMEOUT_ANNOTATION),
        params=optional_variable(Variable.REGION_PARAMS),
        ticks_for=(code, region_id) if code and region_id and source else None,
    )


def tick_variables(template: PodTemplate) -> dict[str, str]:
    """Return the variables that a pod template gives a tick, by name, as they stand in the manifest."""
    containers = template.spec.containers
    return {item.name: item.value for container in containers if container.name == CONTAINER for item in container.env}


@lru_cache(maxsize=PARSED_SETS)
def _owned(applied: FieldSet | None) -> _Owned:
    if applied is None:
        return _Owned()
    annotations = applied.below("metadata", "annotations")
    environment = applied.below(*_CONTAINERS, (("name", CONTAINER),), "env")
    items = environment.items if environment else {}
    return _Owned(
        annotations=frozenset(annotations.fields if annotations else ()),
        variables=frozenset(str(dict(key)["name"]) for key, below in items.items() if "value" in below.fields),
        schedule=applied.below("spec", "schedule") is not None,
    )


def _first_known(first: str | None, second: str | None) -> str | None:
    return second if first is None else first
