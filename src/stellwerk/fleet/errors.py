"""Refusals that a caller of the fleet may expect."""


class FleetRefused(Exception):
    """Base of every expected refusal; the message can be shown to the caller."""


class InvalidId(FleetRefused):
    """An id that is malformed or reserved; `why` says what is wrong with it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class InvalidRegistration(FleetRefused):
    """A registration past the limits of its lists; `why` names the field and the limit."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class UnknownAgent(FleetRefused):
    """No such group, or no such instance of it."""

    def __init__(self, group: str, instance: str | None = None) -> None:
        super().__init__(
            f"Agent {group} has no instance {instance}" if instance else f"Agent {group} not found"
        )
        self.group = group
        self.instance = instance


class UnknownVersion(FleetRefused):
    """The group has no such version."""

    def __init__(self, group: str, version: str) -> None:
        super().__init__(f"Agent {group} has no version {version}")
        self.group = group
        self.version = version


class InvalidWeight(FleetRefused):
    """A weight outside of 0 … 10000."""


class WeightsChanged(FleetRefused):
    """The weights are not (any more) those that the caller saw; `tag` names what they are."""

    def __init__(self, group: str, tag: str) -> None:
        super().__init__(f"The weights of agent {group} have changed meanwhile; read them again")
        self.group = group
        self.tag = tag


class OwnedByAnother(FleetRefused):
    """The group belongs to another principal, or joined through another interface."""

    def __init__(self, group: str, detail: str = "it belongs to another principal") -> None:
        super().__init__(f"Agent {group} cannot be changed: {detail}")
        self.group = group
