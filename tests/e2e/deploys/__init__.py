"""The server is killed in the middle of operations on a real cluster."""
