"""The database as the operator sees it: tables, engine, migrations, partitions."""
