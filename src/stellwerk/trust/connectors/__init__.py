"""Connector tokens: what lets pipelines and platforms steer agent versions and traffic."""
