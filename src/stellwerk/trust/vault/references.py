"""References to secrets: `secret:NAME`. A task carries these, never values."""

from collections.abc import Mapping

from stellwerk.trust.vault.service import NAME

PREFIX = "secret:"
PATTERN = rf"^{PREFIX}{NAME.pattern}(?!\n)$"
"""For descriptions, where `$` alone lets one line end pass for some readers."""


class InvalidReference(Exception):
    """Refuse a credential that is no reference; the message never shows what was given instead."""


def check_references(credentials: Mapping[str, str]) -> None:
    """Raise InvalidReference unless every credential is a reference."""
    for name, reference in credentials.items():
        if not reference.startswith(PREFIX) or NAME.fullmatch(reference.removeprefix(PREFIX)) is None:
            raise InvalidReference(
                f"The credential {name!r} is no reference; store the value with `stellwerk secret set NAME`"
                f" and send `{PREFIX}NAME`"
            )


def secret_named(reference: str) -> str:
    """Return the name of the secret that a checked reference means."""
    return reference.removeprefix(PREFIX)
