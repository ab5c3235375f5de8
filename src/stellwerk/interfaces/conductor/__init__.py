"""The conductor interface: services from templated manifests onto a Kubernetes cluster."""

from stellwerk.interfaces.conductor.interface import ConductorInterface, build

__all__ = ["ConductorInterface", "build"]
