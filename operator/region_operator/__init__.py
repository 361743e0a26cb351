"""The operator: keeps one CronJob per active region in sync with a Postgres table. Start reading at `reconcile`."""
