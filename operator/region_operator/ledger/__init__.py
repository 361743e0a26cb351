"""What became of each tick: which were expected, what the cluster tells of them, and the rows that say so."""
