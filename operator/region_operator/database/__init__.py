"""The operator's own schema in Postgres: engine, tables, migrations, partitions and retention."""
