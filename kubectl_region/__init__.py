"""The kubectl plugin: `kubectl region` shows what the console knows, and acts on the cluster as its user."""
