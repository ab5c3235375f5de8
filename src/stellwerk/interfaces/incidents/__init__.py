"""The incidents interface: controllers and people ask for a root cause, and for the remedy."""

from stellwerk.interfaces.incidents.interface import IncidentsInterface, build

__all__ = ["IncidentsInterface", "build"]
