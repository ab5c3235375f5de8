"""The interface of deployment agents: agents on machines, those who give them tasks, and operators."""

from stellwerk.interfaces.deployment.interface import Deployment, build

__all__ = ["Deployment", "build"]
