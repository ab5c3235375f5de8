"""Capabilities of connector tokens, and the two vocabularies that are published for them.

The *documented* vocabulary is a list: `versions:read`, `restart`. The *coded* one is a map of subjects, each
enabled, and read-only or not: `reasoner_management`, `status_read`. Both name the same rights, so a token may
be made in one and used under either; a right that only the coded one tells apart (`status:read`) comes with
`reasoners:read` in the documented one.
"""

from collections.abc import Iterable
from enum import StrEnum


class Capability(StrEnum):
    """One right of a connector."""

    REASONERS_READ = "reasoners:read"
    REASONERS_WRITE = "reasoners:write"
    VERSIONS_READ = "versions:read"
    VERSIONS_WRITE = "versions:write"
    RESTART = "restart"
    STATUS_READ = "status:read"

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self not in _READS


_READS = frozenset({Capability.REASONERS_READ, Capability.VERSIONS_READ, Capability.STATUS_READ})
EVERYTHING = frozenset(Capability)

MANAGEMENT = "reasoner_management"
STATUS = "status_read"
READ_ONLY = ":read-only"
"""Follows the name of a coded subject that may only read."""
_MANAGED = EVERYTHING - {Capability.STATUS_READ}
SUBJECTS: dict[str, frozenset[Capability]] = {
    MANAGEMENT: _MANAGED,
    STATUS: frozenset({Capability.STATUS_READ}),
    "policy_management": frozenset(),
    "tag_management": frozenset(),
    "did_management": frozenset(),
    "observability_config": frozenset(),
    "config_management": frozenset(),
}
"""The coded vocabulary. What has no rights here belongs to what is not served."""


class UnknownCapability(ValueError):
    """A name that neither vocabulary has; the message lists those that are."""

    def __init__(self, name: str) -> None:
        known = ", ".join([*Capability, *SUBJECTS])
        super().__init__(f"{name!r} is no capability; there are {known}")


def granted_by(names: Iterable[str]) -> frozenset[Capability]:
    """Return the rights that names of either vocabulary give. Raises UnknownCapability."""
    granted: set[Capability] = set()
    for name in names:
        granted |= _rights(name)
    return frozenset(granted)


def documented(granted: Iterable[Capability]) -> list[str]:
    """Write rights as the documented list, in its order."""
    held = frozenset(granted)
    implied = {Capability.STATUS_READ} if Capability.REASONERS_READ in held else set()
    return [one.value for one in Capability if one in held - implied]


def coded(granted: Iterable[Capability]) -> dict[str, tuple[bool, bool]]:
    """Write rights as the coded map: subject to (enabled, read-only).

    A subject is enabled if everything there is to read in it may be read; it is more than read-only if
    everything may be done. What is between is told by the documented list.
    """
    held = frozenset(granted)
    return {subject: _standing(rights, held) for subject, rights in SUBJECTS.items()}


def subject_of(capability: Capability) -> str:
    """Name the coded subject of a right."""
    return STATUS if capability is Capability.STATUS_READ else MANAGEMENT


def may_read(subject: str, granted: Iterable[Capability]) -> bool:
    """Tell whether anything of a coded subject may be read."""
    return bool(SUBJECTS[subject] & _READS & frozenset(granted))


def _rights(name: str) -> frozenset[Capability]:
    subject, read_only = (name[: -len(READ_ONLY)], True) if name.endswith(READ_ONLY) else (name, False)
    if subject in SUBJECTS:
        return SUBJECTS[subject] & _READS if read_only else SUBJECTS[subject]
    if name not in _BY_NAME:
        raise UnknownCapability(name)
    implied = {Capability.STATUS_READ} if name == Capability.REASONERS_READ else set()
    return frozenset({_BY_NAME[name], *implied})


def _standing(rights: frozenset[Capability], held: frozenset[Capability]) -> tuple[bool, bool]:
    enabled = bool(rights) and rights & _READS <= held
    return enabled, enabled and not rights <= held


_BY_NAME = {one.value: one for one in Capability}
