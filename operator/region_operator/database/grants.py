"""Writes the SQL that gives the database roles of operator, ticks, workers and console what they need. Pure.

A tick runs code of the user and speaks to foreign hosts, so its role may do what a tick does and nothing else. A tick
cannot write to the table of regions, nor to the schedules, the suspensions and the ledger. Postgres checks the rights
on job_run at the parent table, so partitions that are made later need no rights of their own.

The script only grants. Postgres adds rights up: what PUBLIC, a membership or the ownership of a table gives a role
besides, stays. So the script ends with a check that warns about what undermines the grants. An operator that migrates
owns the schema region_tick, because the operator made the schema; the grants on the schema change nothing then.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from psycopg import sql

from region_operator.database.comments import VIEWS
from region_operator.database.tables import (
    budget,
    compatibility,
    creator,
    host,
    host_place,
    installation,
    item,
    job_run,
    ledger,
    region_cursor,
    region_schedule,
    seen,
    slot_owner,
    suspension,
    tick_hour,
    tick_total,
    upstream,
    upstream_item,
)
from region_tick.contract import SCHEMA

NAME_BYTES = 63
"""The longest name (NAMEDATALEN, minus 1). Postgres would cut a longer name and grant to another role."""


class GrantError(ValueError):
    """A role's name cannot be used. The message says why."""


class Kind(StrEnum):
    """What a role is for."""

    TICK = "tick"
    WORKER = "worker"
    OPERATOR = "operator"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Right:
    """Privileges on one table, view or sequence of ours. Without `columns` the privileges are for all columns."""

    privileges: tuple[str, ...]
    relation: str
    columns: tuple[str, ...] = ()


_SET_BY_TICKS = tuple(
    column.name for column in job_run.columns if not column.primary_key and column.name != "created_at"
)
_NEVER_EDITED = ("id", "platform", "handle", "url", "created_at")
_ANSWERS = ("last_polled_at", "last_error", "failures", "upstream_id", "delivered_until")
_ANSWERS_OF_BEFORE = ("etag", "last_modified", "not_before", "platform_id")
"""What ticks of the release before write, while both releases run."""
_CREATORS = (
    Right(("SELECT",), creator.name),
    Right(("UPDATE",), creator.name, (*_ANSWERS, *_ANSWERS_OF_BEFORE)),
    Right(("SELECT", "INSERT"), upstream.name),
    Right(
        ("UPDATE",),
        upstream.name,
        tuple(column.name for column in upstream.columns if column.name not in _NEVER_EDITED),
    ),
    Right(("SELECT", "INSERT"), upstream_item.name),
    Right(("SELECT", "INSERT"), seen.name),
    Right(("SELECT", "INSERT"), item.name),
    *(Right(("SELECT", "INSERT", "UPDATE", "DELETE"), table.name) for table in (host, host_place, budget)),
)
_READ_BY_CONSOLE = (
    *(table.name for table in (compatibility, creator, installation, job_run, region_cursor, region_schedule)),
    *(table.name for table in (slot_owner, suspension, tick_hour)),
    *("alembic_version", "procrastinate_jobs"),
)
_QUEUE_TABLES = ("jobs", "events", "workers", "periodic_defers")

RIGHTS = {
    Kind.TICK: (
        Right(("SELECT", "INSERT"), job_run.name),
        Right(("UPDATE",), job_run.name, _SET_BY_TICKS),
        Right(("SELECT", "INSERT", "UPDATE"), region_cursor.name),
        Right(("SELECT",), suspension.name),
        Right(("SELECT",), slot_owner.name),
        *_CREATORS,
        Right(("SELECT", "INSERT"), "procrastinate_jobs"),
        Right(("INSERT",), "procrastinate_events"),  # by a trigger of procrastinate_jobs
        Right(("USAGE",), "procrastinate_jobs_id_seq"),
        Right(("USAGE",), "procrastinate_events_id_seq"),
    ),
    Kind.WORKER: (
        *_CREATORS,
        *(Right(("SELECT", "INSERT", "UPDATE", "DELETE"), f"procrastinate_{table}") for table in _QUEUE_TABLES),
        *(Right(("USAGE",), f"procrastinate_{table}_id_seq") for table in _QUEUE_TABLES),
    ),
    Kind.CONSOLE: tuple(Right(("SELECT",), relation) for relation in (*VIEWS, *_READ_BY_CONSOLE)),
}
"""What each role may do with single relations of ours. The operator may read and write all of them."""

OF_OPERATOR_ALONE = frozenset(
    {
        "alembic_version",
        *(table.name for table in (compatibility, installation, ledger, region_schedule, tick_hour, tick_total)),
    }
)
"""Our tables that no other role writes, nor any but the console reads."""


def write_grants(roles: dict[Kind, str], *, schema: str, table: str, migrates: bool) -> str:
    """Return a script for psql, one transaction. The owner of the tables, or a superuser, runs it; it may be repeated.

    `schema` and `table` name the table of regions. `migrates` says whether the operator makes the triggers of that
    table. Each kind may come alone: its rights depend on no other kind. One role may serve several kinds, but no role
    may serve the operator and another kind. Raises GrantError.
    """
    if not roles:
        raise GrantError("no role is named: name one at least, such as --console-role")
    for name in roles.values():
        _check_name(name)
    for kind, name in roles.items():
        if kind is not Kind.OPERATOR and name == roles.get(Kind.OPERATOR):
            raise GrantError(f"role \"{name}\" is the operator's and the {kind}'s: make another role for the {kind}")
    regions = sql.Identifier(schema, table).as_string()
    lines = ["BEGIN;"]
    for kind, name in roles.items():
        role = sql.Identifier(name).as_string()
        lines += ["", f"-- {kind}", f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role};"]
        lines += [_grant(right, role) for right in RIGHTS.get(kind, ())]
        if kind is Kind.CONSOLE:
            lines += [
                f"GRANT USAGE ON SCHEMA {sql.Identifier(schema).as_string()} TO {role};",
                f"GRANT SELECT ON {regions} TO {role};",
            ]
        if kind is Kind.OPERATOR:
            of_table = "SELECT, TRIGGER" if migrates else "SELECT"
            lines += [
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {role};",
                f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {role};",
                f"GRANT USAGE ON SCHEMA {sql.Identifier(schema).as_string()} TO {role};",
                f"GRANT {of_table} ON {regions} TO {role};",
            ]
    lines += ["", "-- Warn about what undermines these grants", _check(roles, schema, table), "COMMIT;"]
    return "\n".join(lines)


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise GrantError(f'"{name}" is no name of a role: a name has 1 to {NAME_BYTES} bytes')


def _grant(right: Right, role: str) -> str:
    columns = f" ({', '.join(right.columns)})" if right.columns else ""
    kind = "SEQUENCE " if right.privileges == ("USAGE",) else ""
    privileges = ", ".join(right.privileges)
    return f"GRANT {privileges}{columns} ON {kind}{SCHEMA}.{right.relation} TO {role};"


def _check(roles: dict[Kind, str], schema: str, table: str) -> str:
    """Return the statement that warns about what lets the other roles do the operator's work or change its tables."""
    body = _CHECK.format(
        ours=_literal(SCHEMA),
        closed=", ".join(map(_literal, sorted(OF_OPERATOR_ALONE | {suspension.name, slot_owner.name}))),
        checked=", ".join(dict.fromkeys(_literal(roles.get(kind)) for kind in Kind if kind is not Kind.OPERATOR)),
        operator=_literal(roles.get(Kind.OPERATOR)),
        regions=_literal(sql.Identifier(schema, table).as_string()),
        schema=_literal(schema),
    )
    tag = "$check$"
    while tag in body:
        tag = tag[:-1] + "_$"
    return f"DO {tag}{body}{tag};"


def _literal(value: str | None) -> str:
    """Return the text as SQL writes it. None is NULL, which equals no role."""
    return sql.Literal(value).as_string()


_CHECK = """
DECLARE
    finding text;
BEGIN
    FOR finding IN
        WITH checked AS (
            SELECT oid, rolname FROM pg_roles WHERE rolname IN ({checked}) AND NOT rolsuper
        ), relation AS (
            SELECT oid, relowner, oid = {regions}::regclass OR relname IN ({closed}) AS closed FROM pg_class
            WHERE oid = {regions}::regclass OR relnamespace = {ours}::regnamespace AND relkind IN ('r', 'p', 'v')
        ), master AS (
            SELECT rolname FROM pg_roles WHERE rolname = {operator} OR oid IN (SELECT relowner FROM relation)
        ), surplus AS (
            SELECT DISTINCT grantee, oid::regclass AS relation, privilege
            FROM relation
            CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
            CROSS JOIN LATERAL (SELECT 'public' UNION ALL SELECT rolname FROM checked WHERE closed) AS g (grantee)
            WHERE CASE WHEN privilege IN ('INSERT', 'UPDATE') THEN has_any_column_privilege(grantee, oid, privilege)
                ELSE has_table_privilege(grantee, oid, privilege) END
        )
        SELECT format('role %I is a superuser: ALTER ROLE %I NOSUPERUSER', rolname, rolname)
        FROM pg_roles WHERE rolname IN ({checked}) AND rolsuper
        UNION ALL
        SELECT format('role %I may act as %I: REVOKE %2$I FROM %1$I', checked.rolname, master.rolname)
        FROM checked JOIN master ON pg_has_role(checked.rolname, master.rolname, 'MEMBER')
        UNION ALL
        SELECT format('%s may %s %s: REVOKE that', CASE grantee WHEN 'public' THEN 'PUBLIC'
            ELSE format('role %I', grantee) END, string_agg(privilege, ', ' ORDER BY privilege), relation)
        FROM surplus GROUP BY grantee, relation
        UNION ALL
        SELECT format('role %I may CREATE in schema %I: REVOKE CREATE ON SCHEMA %2$I FROM PUBLIC, %1$I', rolname,
            nspname)
        FROM checked CROSS JOIN pg_namespace
        WHERE nspname IN ({ours}, {schema}) AND has_schema_privilege(rolname, pg_namespace.oid, 'CREATE')
        UNION ALL
        SELECT format('role %I may CREATE schemas: REVOKE CREATE ON DATABASE %I FROM PUBLIC, %1$I', rolname,
            current_database())
        FROM checked WHERE has_database_privilege(rolname, current_database(), 'CREATE')
        ORDER BY 1
    LOOP
        RAISE WARNING '%', finding;
    END LOOP;
END
"""
