"""What a request chose, in its body or its query."""

from typing import Any

from msgspec import UNSET

from stellwerk.interfaces.conductor.errors import invalid
from stellwerk.interfaces.conductor.wire.operations import Choices
from stellwerk.release.operations.record import Options
from stellwerk.settings import ConductorSettings


class Chosen:
    """The choices of a request, with what holds where it chose nothing."""

    def __init__(self, body: Choices | None, query: Choices, settings: ConductorSettings) -> None:
        """Raises Problem where body and query contradict each other."""
        given = _joined(body, query)
        self.instance: str = given.get("instance", "default")
        self.dry_run: bool = given.get("dry_run", False)
        self.on_busy: Any = given.get("on_busy", "wait")
        self.note: str = given.get("note", "")
        waits: bool = given.get("wait", True)
        self.wait_s: float = given.get("timeout_seconds", settings.wait_s) if waits else 0.0
        self.options = Options(
            force=given.get("force", False),
            prune=given.get("prune", True),
            volumes=given.get("volumes", False),
            namespaces=given.get("namespaces", False),
            definitions=given.get("definitions", False),
            auto_rollback=given.get("auto_rollback", False),
            deadline_s=given.get("deadline_seconds", settings.deadline_s),
        )


def _joined(body: Choices | None, query: Choices) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Choices.__struct_fields__:
        values = [value for one in (body, query) if one and (value := getattr(one, name)) is not UNSET]
        if len(values) == 2 and values[0] != values[1]:
            raise invalid(f"Body and query say different things about {name}")
        if values:
            found[name] = values[0]
    return found
