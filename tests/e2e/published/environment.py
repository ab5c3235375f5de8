"""The environment with the published SDK and what it asks for, none of which the product has."""

from pathlib import Path

from bench.environment import NotInstalled, python_with

__all__ = ["NotInstalled", "sdk_python"]

LOCK = Path(__file__).parent / "requirements.lock"


def sdk_python() -> Path:
    """Return the interpreter of an environment with the SDK. Raises NotInstalled."""
    return python_with(LOCK, "published-sdk")
