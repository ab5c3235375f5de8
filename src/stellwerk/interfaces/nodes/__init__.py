"""The interface of nodes: agents written with the published SDK, and those who call them."""

from stellwerk.interfaces.nodes.interface import Nodes, build

__all__ = ["Nodes", "build"]
