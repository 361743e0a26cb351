"""Real clients that write the table: what applications have, each with its own habits."""
