"""Shared by the interfaces: listeners, the gate before every request, problems, the outbound policy."""
