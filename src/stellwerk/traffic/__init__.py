"""Executions, routed by weight to versions of agents, and what agents remember."""
