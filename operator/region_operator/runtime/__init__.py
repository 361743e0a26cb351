"""The operator's process: health, metrics, timer, back-off, limits for log lines, and shutdown."""
