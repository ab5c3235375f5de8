"""Credentials of tasks: resolved when a task is delivered, masked in whatever comes back.

Theory of operation. A task names its credentials by reference among its requirements, so they are a part of
what the queue matches: only a holder with a certificate gets it. Values are read at delivery, kept in memory
while the task may be reported on, and never written. After a restart, or on another replica, they are read
again with the first report. A secret that was changed meanwhile is masked as it was delivered where this
process delivered it, else as it is now.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from stellwerk.trust.vault.cipher import SecretUnreadable
from stellwerk.trust.vault.references import secret_named
from stellwerk.trust.vault.service import Secrets, UnknownSecret

MASK = "***"
KEPT = 10_000
"""Tasks whose values are remembered."""
SHORTEST = 2
"""A value of one character is not masked: it would be found everywhere."""
SHORT = 6
"""Shorter values are masked as whole words: a user `lab` must not turn every *label* into a riddle."""

_carried = msgspec.json.Decoder(dict[str, Any])


class CredentialsUnavailable(Exception):
    """The credentials of a task cannot be read: it cannot be done. The message names no value."""


class Masks:
    """Hides the values of one task's credentials."""

    __slots__ = ("_pattern",)

    def __init__(self, values: Mapping[str, str]) -> None:
        found = {value for value in values.values() if len(value) >= SHORTEST}
        # A tool may have told it as JSON text; longest first, so that none hides a part of another.
        found |= {msgspec.json.encode(value)[1:-1].decode() for value in found}
        ordered = sorted(found, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_expression, ordered))) if ordered else None

    def hide(self, text: str) -> str:
        """Return the text with every value masked."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def hide_json(self, text: str) -> str:
        """Return JSON text with every value masked within its texts; it stays JSON."""
        if self._pattern is None or not self._pattern.search(text):
            return text
        return msgspec.json.encode(self._hide_in(msgspec.json.decode(text))).decode()

    def _hide_in(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {self.hide(name): self._hide_in(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._hide_in(inner) for inner in value]
        # A number may be somebody's PIN; then it is one no more.
        return MASK if not isinstance(value, bool | None) and self.hide(str(value)) == MASK else value


def _expression(value: str) -> str:
    escaped = re.escape(value)
    return escaped if len(value) >= SHORT else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"


NO_MASKS = Masks({})


class Credentials:
    """Resolves and masks. `secrets` keeps the values."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._masks: OrderedDict[str, Masks] = OrderedDict()

    async def resolve(self, task_id: str, requirements: str) -> dict[str, str]:
        """Return the values for delivery. Raises CredentialsUnavailable."""
        references = references_of(requirements)
        if not references:
            self._remember(task_id, NO_MASKS)
            return {}
        try:
            values = await self._secrets.resolve(map(secret_named, references.values()))
        except (UnknownSecret, SecretUnreadable) as error:
            raise CredentialsUnavailable(str(error)) from error
        named = {name: values[secret_named(reference)] for name, reference in references.items()}
        self._remember(task_id, Masks(named))
        return named

    async def masks(self, task_id: str, requirements: str | None) -> Masks:
        """Return what hides the task's values; `requirements` None where they are not at hand."""
        known = self._masks.get(task_id)
        if known is not None or requirements is None:
            return known or NO_MASKS
        try:
            await self.resolve(task_id, requirements)
        except CredentialsUnavailable:
            return NO_MASKS
        return self._masks.get(task_id, NO_MASKS)

    def knows(self, task_id: str) -> bool:
        """Tell whether `masks` needs no requirements."""
        return task_id in self._masks

    def forget(self, task_id: str) -> None:
        """Drop the values of a task that has ended."""
        self._masks.pop(task_id, None)

    def _remember(self, task_id: str, masks: Masks) -> None:
        self._masks.pop(task_id, None)
        self._masks[task_id] = masks
        if len(self._masks) > KEPT:
            self._masks.popitem(last=False)


def references_of(requirements: str) -> dict[str, str]:
    """Return the references that a task's requirements name."""
    if '"credentials"' not in requirements:
        return {}
    found = _carried.decode(requirements).get("credentials")
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
