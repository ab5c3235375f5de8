"""What versions of parameters changed for one service: pure rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stellwerk.release.application.application import Application
from stellwerk.release.parameters.differing import Difference, differences
from stellwerk.release.parameters.merging import service_view
from stellwerk.release.parameters.model import Version


@dataclass(frozen=True, slots=True)
class Traced:
    """One version that changed something for a service."""

    version: Version
    changes: tuple[Difference, ...]


def traced(application: Application, service: str, versions: Sequence[Version]) -> Iterator[Traced]:
    """List the versions, newest first, after which something else held for a service than before.

    `versions`: newest first. What the oldest of them changed cannot be known unless it is the first.
    """
    views = [service_view(application, one.spec or {}, service) for one in versions]
    if versions and versions[-1].version == 1:
        views.append(service_view(application, {}, service))
    for version, after, before in zip(versions, views, views[1:], strict=False):
        if found := tuple(differences(before, after)):
            yield Traced(version, found)
