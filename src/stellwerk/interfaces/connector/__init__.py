"""The connector interface: pipelines and platforms steer agent versions and traffic."""

from stellwerk.interfaces.connector.interface import ConnectorInterface, build

__all__ = ["ConnectorInterface", "build"]
