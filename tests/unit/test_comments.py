"""database/comments.py: everything has a text, and the texts are sentences."""

from __future__ import annotations

import pytest

from region_operator.database.comments import FUNCTIONS, TABLES, VIEWS, Description
from region_operator.database.tables import region_index

RELATIONS = TABLES | VIEWS | {region_index.name: Description.of(region_index)}


@pytest.mark.parametrize("name", RELATIONS)
def test_each_table_and_column_has_a_text(name: str) -> None:
    description = RELATIONS[name]
    texts = {"": description.text} | dict(description.columns)
    assert {part: said for part, said in texts.items() if not said.endswith(".")} == {}


def test_each_function_has_a_text() -> None:
    assert [said for said in FUNCTIONS.values() if not said.endswith(".")] == []
