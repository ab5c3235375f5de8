"""Stellwerk: one control plane for fleets of agents and the services they run."""

__version__ = "0.1.0.dev1"
