"""cronjobs/field_sets.py: what a set of fields covers, and that a long list costs no more than its length."""

from __future__ import annotations

from typing import Any

import pytest

from region_operator.cronjobs.field_sets import FieldSet, Positions, parse_field_set

ENV: dict[str, Any] = {
    'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}},
    'k:{"name":"B"}': {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}},
}
A, B = {"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}


@pytest.mark.parametrize(
    ("fields", "value", "covered"),
    [
        pytest.param({}, {"any": ["thing"]}, True, id="owned as a whole"),
        pytest.param({"f:a": {}}, {"a": 1}, True, id="a field"),
        pytest.param({"f:a": {}}, {"a": 1, "b": 2}, False, id="one of two fields"),
        pytest.param({"f:a": {".": {}}}, {"a": {"b": 1}}, False, id="a map without its field"),
        pytest.param({"f:a": {".": {}}}, {"a": {}}, True, id="an empty map"),
        pytest.param({"f:env": ENV}, {"env": [A, B]}, True, id="items"),
        pytest.param({"f:env": ENV}, {"env": [B]}, True, id="some items"),
        pytest.param({"f:env": ENV}, {"env": [A, {"name": "C"}]}, False, id="an item too many"),
        pytest.param({"f:env": ENV}, {"env": [{"name": "A", "valueFrom": {}}]}, False, id="another field of an item"),
        pytest.param({"f:env": ENV}, {"env": ["A"]}, False, id="an item without fields"),
        pytest.param({"f:env": ENV}, {"env": [A, A]}, True, id="an item twice"),
        pytest.param(
            {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}}},
            {"ports": [{"port": 80}]},
            True,
            id="a key field with a default",
        ),
        pytest.param(
            {"f:ports": {'k:{"port":80,"protocol":"UDP"}': {"f:port": {}}}},
            {"ports": [{"port": 81}]},
            False,
            id="another key",
        ),
    ],
)
def test_what_a_set_covers(fields: dict[str, Any], value: object, covered: bool) -> None:
    assert FieldSet(fields).covers(value) is covered


def test_a_path_leads_to_the_set_below() -> None:
    fields = FieldSet({"f:spec": {"f:env": ENV}})
    found = fields.below("spec", "env", (("name", "A"),), "value")
    assert found is not None
    assert found.whole
    assert fields.below("spec", "env", (("name", "C"),), "value") is None
    assert fields.below("spec", "other", "value") is None


def test_the_same_bytes_are_parsed_once() -> None:
    assert parse_field_set(b'{"f:a":{}}') is parse_field_set(b'{"f:a":{}}')


def test_items_are_found_by_their_key() -> None:
    positions = Positions([{"name": "A"}, "scalar", {"name": "B"}, {"name": "A", "again": True}])
    assert [positions.find((("name", name),)) for name in "ABC"] == [[0, 3], [2], []]


def test_a_key_field_that_an_item_lacks_has_its_default() -> None:
    positions = Positions([{"port": 79, "protocol": "TCP"}, {"port": 80}])
    assert positions.find((("port", 80), ("protocol", "TCP"))) == [1]
    assert positions.find((("port", 79), ("protocol", "UDP"))) == []


class Counted(dict[str, Any]):
    """An item that counts how often somebody reads one of its fields."""

    reads = 0

    def __getitem__(self, key: str) -> Any:
        Counted.reads += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        Counted.reads += 1
        return super().get(key, default)


def test_a_list_costs_what_its_length_says_and_not_the_square() -> None:
    names = [f"V{number}" for number in range(1000)]
    fields = FieldSet({f'k:{{"name":"{name}"}}': {".": {}, "f:name": {}} for name in names})
    items = [Counted(name=name) for name in names]
    Counted.reads = 0
    assert fields.covers(items)
    positions = Positions(items)
    assert [positions.find((("name", name),)) for name in names] == [[number] for number in range(1000)]
    assert Counted.reads <= 4 * len(names)
