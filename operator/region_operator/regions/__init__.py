"""The user's table: its rows as values, its schedules, and how it is read and listened to."""
