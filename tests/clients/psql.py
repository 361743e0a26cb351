"""psql, which runs a script of SQL."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from devcluster.postgres_programs import chosen_major, find_programs
from tests.clients.edits import Act

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.edits import Client, Edit

_SCRIPTS = {
    Act.CREATE: "INSERT INTO region_index (code, {columns}) SELECT code, {values} FROM unnest({codes}::text[]) AS code",
    Act.UPDATE: "UPDATE region_index SET ({columns}) = ROW ({values}) WHERE code = ANY ({codes}::text[])",
    Act.UPSERT: "INSERT INTO region_index (code, {columns}) SELECT code, {values} FROM unnest({codes}::text[]) AS code"
    " ON CONFLICT (code) DO UPDATE SET ({columns}) = ROW ({values})",
    Act.DELETE: "DELETE FROM region_index WHERE code = ANY ({codes}::text[])",
}
_SCRIPTS[Act.UPDATE_MANY] = _SCRIPTS[Act.UPDATE]
_SCRIPTS[Act.ROLL_BACK] = f"BEGIN; {_SCRIPTS[Act.UPDATE]}; ROLLBACK"


@contextmanager
def psql_client(url: str) -> Iterator[Client]:
    """Yield a client that starts psql for each edit."""
    psql = find_programs(chosen_major(os.environ)).path("psql")

    def edit(wanted: Edit) -> None:
        script = sql.SQL(_SCRIPTS[wanted.act]).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, wanted.values)),
            values=sql.SQL(", ").join(map(sql.Literal, wanted.values.values())),
            codes=sql.Literal(list(wanted.codes)),
        )
        subprocess.run(
            [psql, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", url],
            input=script.as_string(),
            text=True,
            capture_output=True,
            check=True,
            timeout=60,
        )

    yield edit
