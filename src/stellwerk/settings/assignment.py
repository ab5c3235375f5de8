"""One value from one source, before it is a setting."""

from dataclasses import dataclass

from stellwerk.settings.values import Raw


@dataclass(frozen=True, slots=True)
class Assignment:
    """One value from one source: `name` is `section.field`, `where` says where it was written."""

    name: str
    raw: Raw
    where: str
