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


def commands() -> set[str]:
    """Return the commands of all pages: indented lines, and what stands between backticks, perhaps on two lines."""
    pages = [path.read_text() for path in RUNBOOKS.glob("*.md")]
    found = {
        each
        for page in pages
        for each in re.findall(r"^ +(kubectl .*)$|`((?:kubectl|region-operator) [^`]*)`", page, re.MULTILINE)
    }
    return {indented or inline for indented, inline in found}


def test_a_command_works_from_anywhere_and_names_the_namespace() -> None:
    ours = {each for each in commands() if "--raw" not in each and "apply -f" not in each}
    assert len(ours) >= 15
    assert {each for each in ours if " -n NAMESPACE" not in each} == set()


def test_postgres_takes_every_statement(database: str) -> None:
    assert len(statements()) >= 4
    with psycopg.connect(database) as connection:
        for statement in statements():
            connection.execute(statement.encode())
