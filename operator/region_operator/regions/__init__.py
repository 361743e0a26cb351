"""The user's table: rows as values, schedules, reading the table, and listening to changes."""
