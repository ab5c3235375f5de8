"""The operations interface: metrics, events, keys, readiness, and the description of everything."""

from stellwerk.interfaces.operations.interface import Operations, build
from stellwerk.interfaces.operations.metrics import Gauge
from stellwerk.interfaces.operations.readiness import Component

__all__ = ["Component", "Gauge", "Operations", "build"]
