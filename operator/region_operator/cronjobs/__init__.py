"""The operator's CronJobs: manifest, names, labels, field ownership, last good state, filter of events. Pure."""
