"""docs/runbooks: what people copy from there at night can be run."""

from __future__ import annotations

import re
import textwrap

import psycopg

from docs.generator.source import CHECKOUT

RUNBOOKS = CHECKOUT / "docs/runbooks"


def statements() -> set[str]:
    """Return the SQL statements of all pages."""
    pages = (path.read_text() for path in RUNBOOKS.glob("*.md"))
    return {textwrap.dedent(found) for page in pages for found in re.findall(r"^ +SELECT[^;]*;$", page, re.MULTILINE)}


def test_postgres_takes_every_statement(database: str) -> None:
    assert len(statements()) >= 4
    with psycopg.connect(database) as connection:
        for statement in statements():
            connection.execute(statement.encode())
