"""The process: health, metrics, timers, back-off, log limits and shutdown."""
