"""Stellwerk: one control plane for fleets of agents and the services they run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellwerk.conductor import Conductor as Conductor

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the server's class when somebody asks for it: workers and agents import this package, too."""
    if name == "Conductor":
        from stellwerk.conductor import Conductor

        return Conductor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
