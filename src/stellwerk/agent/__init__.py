"""The deployment agent: a program of its own that imports nothing of the server."""
