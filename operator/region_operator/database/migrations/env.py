"""Alembic's entry: upgrades through the connection, and in the transaction, of `region_operator.database.migrate`."""

from alembic import context

from region_tick.contract import SCHEMA

context.configure(connection=context.config.attributes["connection"], version_table_schema=SCHEMA)
context.run_migrations()
