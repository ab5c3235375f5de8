"""The coordinator interface: workers of any kind, and those who give them tasks."""

from stellwerk.interfaces.coordinator.interface import Coordinator, build

__all__ = ["Coordinator", "build"]
