"""The operator: keeps one CronJob per active region true to a Postgres table. `reconcile` is its table of contents."""
