"""The ledger of ticks: which ticks were expected, and a final row of job_run for each tick that left none."""
