"""The environment of a tick's pod, as one value or one clear error."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick.contract import Variable, job_name
from region_tick.environment import Environment, EnvironmentVariableError
from region_tick.handlers import BoundingBox

TICK_AT = datetime(2026, 1, 5, 10, 40, tzinfo=UTC)
COMPLETE: dict[str, str] = {
    Variable.DATABASE_URL: "postgresql://tick:pa55word@db:5432/app",
    Variable.CRONJOB_NAME: "zurich-0123456789ab",
    Variable.JOB_NAME: job_name("zurich-0123456789ab", TICK_AT),
    Variable.JOB_UID: "6f1c",
    Variable.POD_NAME: "zurich-x",
    Variable.NODE_NAME: "node-1",
    Variable.SOURCE: "public.region_index",
    Variable.INSTALLATION: "cluster-a",
    Variable.HANDLER: "poke",
    Variable.TIMEOUT_SECONDS: "600",
    Variable.START_DEADLINE_SECONDS: "100",
    Variable.REGION_ID: "42",
    Variable.REGION_CODE: "ch-zrh",
    Variable.REGION_NAME: "Zürich",
    Variable.REGION_BBOX: "8.440000,47.320000,8.630000,47.440000",
    Variable.REGION_CRON: "*/5 * * * *",
    Variable.MAX_WINDOW_SECONDS: "3600",
    Variable.FAILED_LOG_LINES: "20",
    Variable.REGION_PARAMS: '{"depth": 3, "feeds": ["a"]}',
    Variable.RERUN_OF: "2026-01-05T10:40:00Z",
    Variable.RERUN_BY: "alice",
}
OPTIONAL = {
    Variable.REGION_NAME,
    Variable.REGION_BBOX,
    Variable.INSTALLATION,
    Variable.MAX_WINDOW_SECONDS,
    Variable.FAILED_LOG_LINES,
    Variable.REGION_PARAMS,
    Variable.RERUN_OF,
    Variable.RERUN_BY,
}


def test_complete() -> None:
    environment = Environment.read(COMPLETE)
    assert environment.scheduled_at == TICK_AT
    assert environment.region.bbox == BoundingBox(Decimal("8.44"), Decimal("47.32"), Decimal("8.63"), Decimal("47.44"))
    assert (environment.region.id, environment.region.code, environment.region.name) == ("42", "ch-zrh", "Zürich")
    assert environment.installation == "cluster-a"
    assert (environment.timeout_seconds, environment.start_deadline_seconds) == (600, 100)
    assert (environment.max_window_seconds, environment.params) == (3600, {"depth": 3, "feeds": ["a"]})
    assert environment.failed_log_lines == 20
    assert (environment.rerun_of, environment.rerun_by) == (TICK_AT, "alice")
    assert "pa55word" not in repr(environment)


@pytest.mark.parametrize("job", ["zurich-by-hand", "zurich-0123456789ab-x", "other-29460160", "zurich-0123456789ab"])
def test_a_job_that_the_controller_did_not_name_has_no_scheduled_minute(job: str) -> None:
    assert Environment.read(COMPLETE | {Variable.JOB_NAME: job}).scheduled_at is None


@pytest.mark.parametrize("variable", sorted(set(Variable) - OPTIONAL))
@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_or_empty_variable_is_named(variable: Variable, missing: bool) -> None:
    variables = {name: value for name, value in COMPLETE.items() if name != variable} | (
        {} if missing else {variable: ""}
    )
    with pytest.raises(EnvironmentVariableError, match=f"{variable} .*is {'missing' if missing else 'empty'}"):
        Environment.read(variables)


@pytest.mark.parametrize("missing", [True, False])
def test_a_tick_may_have_neither_a_longest_window_nor_params_and_keep_no_lines(missing: bool) -> None:
    optional = (Variable.MAX_WINDOW_SECONDS, Variable.REGION_PARAMS, Variable.FAILED_LOG_LINES)
    variables = {name: value for name, value in COMPLETE.items() if name not in optional}
    environment = Environment.read(variables if missing else variables | dict.fromkeys(optional, ""))
    assert (environment.max_window_seconds, environment.params, environment.failed_log_lines) == (None, {}, 0)


@pytest.mark.parametrize("missing", [True, False])
def test_only_a_rerun_names_the_tick_to_run_again(missing: bool) -> None:
    reruns = (Variable.RERUN_OF, Variable.RERUN_BY)
    variables = {name: value for name, value in COMPLETE.items() if name not in reruns}
    environment = Environment.read(variables if missing else variables | dict.fromkeys(reruns, ""))
    assert (environment.rerun_of, environment.rerun_by) == (None, "")


def test_a_cronjob_of_an_older_release_names_no_installation() -> None:
    older = {name: value for name, value in COMPLETE.items() if name != Variable.INSTALLATION}
    assert Environment.read(older).installation == ""


@pytest.mark.parametrize("bbox", [{}, {Variable.REGION_BBOX: ""}])
def test_a_region_may_have_neither_name_nor_bbox(bbox: dict[str, str]) -> None:
    variables = {k: v for k, v in COMPLETE.items() if k not in (Variable.REGION_BBOX, Variable.REGION_NAME)} | bbox
    region = Environment.read(variables).region
    assert (region.bbox, region.name) == (None, "")


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        (Variable.TIMEOUT_SECONDS, "10m", "seconds"),
        (Variable.TIMEOUT_SECONDS, "0", "at least 1"),
        (Variable.TIMEOUT_SECONDS, "-5", "at least 1"),
        (Variable.TIMEOUT_SECONDS, "\u0665", "whole number"),
        (Variable.TIMEOUT_SECONDS, "9" * 5000, "at most"),
        (Variable.START_DEADLINE_SECONDS, "1.5", "whole number"),
        (Variable.MAX_WINDOW_SECONDS, "1h", "seconds"),
        *((Variable.FAILED_LOG_LINES, text, "a number of lines") for text in ("all", "-1", "1000")),
        (Variable.REGION_PARAMS, "[1]", "JSON object"),
        (Variable.REGION_PARAMS, "{", "JSON object"),
        (Variable.REGION_PARAMS, '{"a":' + "[" * 5000, "JSON object"),
        *((Variable.RERUN_OF, text, "the minute of a tick in UTC") for text in ("10:40", "2026-01-05T10:40:30Z")),
        (Variable.RERUN_OF, "2026-01-05T10:40:00+01:00", "the minute of a tick in UTC"),
        (Variable.REGION_BBOX, "1,2,3", "four decimals"),
        (Variable.REGION_BBOX, "1,2,3,4,5", "four decimals"),
        (Variable.REGION_BBOX, "1,2,3,x", "four decimals"),
        (Variable.REGION_BBOX, "1,2,3,NaN", "four decimals"),
    ],
)
def test_a_bad_value_is_named_with_the_remedy(variable: Variable, value: str, remedy: str) -> None:
    with pytest.raises(EnvironmentVariableError) as caught:
        Environment.read(COMPLETE | {variable: value})
    assert str(caught.value).startswith(f"{variable} is {value!r}"[:60])
    assert remedy in str(caught.value)


def test_a_bad_database_url_is_told_without_its_password() -> None:
    with pytest.raises(EnvironmentVariableError) as caught:
        Environment.read(COMPLETE | {Variable.DATABASE_URL: "mysql://tick:pa55word@db/app"})
    assert "DATABASE_URL" in str(caught.value)
    assert "pa55word" not in str(caught.value)


@given(st.dictionaries(st.sampled_from(list(Variable)), st.text(max_size=20)))
def test_whatever_stands_in_a_variable_gives_a_value_or_that_error(changes: dict[Variable, str]) -> None:
    try:
        environment = Environment.read(COMPLETE | changes)
    except EnvironmentVariableError:
        return
    assert environment.timeout_seconds >= 1
    assert environment.region.id
