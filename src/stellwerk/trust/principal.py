"""The principal: who calls."""

from dataclasses import dataclass, field

from stellwerk.trust.scopes import ALL_SCOPES, Scope, administration_of, granted_by


@dataclass(frozen=True, slots=True)
class Command:
    """What a caller calls a change in its own books."""

    id: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that was recognised: an API key, or the local user of an open listener."""

    id: str
    """`local` or `key:<key_id>`. Owners of agents and tasks are kept by it."""
    name: str
    """For people: the name that the key was given."""
    scopes: frozenset[Scope]
    """As given; `may` also knows what they imply."""
    granted: frozenset[Scope] = field(init=False, repr=False, compare=False)
    command: Command | None = field(default=None, compare=False, kw_only=True)
    """Kept with the audit events of the change that is asked for; None is not said."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "granted", granted_by(self.scopes))

    def may(self, scope: Scope) -> bool:
        """Tell whether the principal has a right, given or implied."""
        return scope in self.granted

    @property
    def said(self) -> dict[str, str]:
        """Name the command in the data of an event."""
        if self.command is None:
            return {}
        source = self.command.source
        return {"command_id": self.command.id, **({} if source is None else {"command_source": source})}

    def administers(self, scope: Scope) -> bool:
        """Tell whether the principal may act on what others own in the scope's subject."""
        return administration_of(scope) in self.granted


LOCAL = Principal("local", "local", ALL_SCOPES)
"""The user of an open listener."""

ANONYMOUS = Principal("anonymous", "anonymous", frozenset())
"""Nobody in particular: who calls a public route of a closed listener without credentials."""
