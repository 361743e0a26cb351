"""The console: a read-only page, and the same as JSON, about one RegionScheduler and its table."""
