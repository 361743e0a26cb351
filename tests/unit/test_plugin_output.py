"""kubectl_region/output.py: tables, YAML that means the JSON, and colours for a terminal only."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubectl_region.output import as_yaml, gather, paint, table

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
def test_yaml_means_what_json_means(value: Any) -> None:
    assert yaml.safe_load("\n".join(as_yaml(value))) == value


def test_yaml_is_in_blocks() -> None:
    value: dict[str, Any] = {"a": [{"b": 1, "c": "x: y"}, []], "d": {}, "e": None}
    assert list(as_yaml(value)) == ['"a":', '  - "b": 1', '    "c": "x: y"', "  - []", '"d": {}', '"e": null']


def test_a_table_is_in_columns_without_blanks_at_the_end() -> None:
    assert table(["A", "LONG"], [["aa", "b"], ["a", ""]]) == "A    LONG\naa   b\na"


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert (paint("missed") != "missed") is coloured
    assert paint("anything else") == "anything else"
    assert ("\x1b" in table(["STATE"], [["missed"]], painted=("STATE",))) is coloured


def test_one_namespace_is_as_it_is_and_several_are_a_list() -> None:
    assert gather({"a": {"x": 1}}, everywhere=False) == {"x": 1}
    several = gather({"a": {"x": 1}, "b": {"x": 2}}, everywhere=True)
    assert several == {"kind": "List", "items": [{"namespace": "a", "x": 1}, {"namespace": "b", "x": 2}]}
