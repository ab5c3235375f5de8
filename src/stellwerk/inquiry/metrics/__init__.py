"""Metrics as evidence: a handful of bounded questions to a Prometheus."""
