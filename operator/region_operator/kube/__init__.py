"""The API server: the client, and whatever the operator reads and writes there."""
