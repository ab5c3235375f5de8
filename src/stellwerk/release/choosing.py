"""Which services a request is about."""

from collections.abc import Iterable, Sequence

from stellwerk.release.application.application import Application, UnknownServices, select
from stellwerk.release.spelling import did_you_mean


class NothingDescribed(Exception):
    """The application has no services; the message says what would help."""


def described(application: Application, names: Sequence[str]) -> tuple[str, ...]:
    """Return the services that names stand for; of no names, all that the application describes.

    Raises UnknownServices, NothingDescribed.
    """
    chosen = select(application, names)
    if not chosen:
        raise NothingDescribed(
            "no manifests are served: start with --manifests DIR, a folder for each service"
        )
    return chosen


def deployed(application: Application, names: Sequence[str], owned: Iterable[str]) -> tuple[str, ...]:
    """Return the same for what is there already, which may be more than what is described.

    Raises UnknownServices.
    """
    known = {*application.services, *owned}
    if not names:
        return tuple(sorted(known))
    words = [*known, *application.groups]
    unknown = {name: did_you_mean(name, words) for name in names if name not in words}
    if unknown:
        raise UnknownServices(unknown)
    return tuple(sorted({one for name in names for one in application.groups.get(name, (name,))}))
