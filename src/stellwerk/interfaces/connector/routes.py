"""What the routes of all dialects have in common: one table, described and guarded as each dialect wants."""

from collections.abc import Sequence
from typing import Any

from stellwerk.http.operation import Handle, Operation
from stellwerk.interfaces.connector.dialects import COMMANDS, Dialect
from stellwerk.trust.connectors.capabilities import Capability


class Routes:
    """Routes of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def operations(self) -> Sequence[Operation]:
        """List the routes."""
        raise NotImplementedError

    def route(  # noqa: PLR0917 - reads as a table
        self,
        method: str,
        path: str,
        handle: Handle,
        capability: Capability | None,
        gives: Any,
        summary: str,
        **more: Any,
    ) -> Operation:
        """Make one route; `capability` None takes any token."""
        if capability is not None and capability.writes:
            more["headers"] = {**more.get("headers", {}), **COMMANDS}
        return Operation(
            method=method,
            path=self.dialect.prefix + path,
            handle=handle,
            scope=self.dialect.scope_for(capability),
            check=self.dialect.check_for(capability),
            capability=self.dialect.needed(capability),
            gives=gives,
            summary=summary,
            tag=self.dialect.tag,
            **more,
        )
