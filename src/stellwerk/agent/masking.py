"""Keeping credential values out of everything that leaves the agent or is written down.

A value is hidden as it is and in the forms in which tools repeat it: base64, URL-quoted, JSON-escaped, and
the lines of a value with several. Short values are hidden only as whole words: a user name `ci` must not turn
every *special* into a riddle, and a secret of that length hides nothing anyway.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORT = 6
LINE_SHORTEST = 8
"""Lines of a multi-line value (a PEM key, say) below this are too common to be hidden."""


class Masks:
    """Hides the values of one task's credentials. `hide` is idempotent."""

    def __init__(self, credentials: Mapping[str, str]) -> None:
        forms = {form for value in credentials.values() for form in _forms(value)}
        # Longest first: a value that holds another is hidden whole.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(_expression(form) for form in ordered)) if ordered else None

    def hide(self, text: str) -> str:
        """Return the text with every value replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def hide_in(self, value: Any) -> Any:
        """Return a JSON value with every text in it hidden, keys as well."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide(str(key)): self.hide_in(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide_in(item) for item in value]
        return value


def _forms(value: str) -> Iterable[str]:
    if len(value.strip()) < 2:
        return
    yield from (value, value.strip(), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1])
    raw = value.encode()
    if len(value) >= SHORT:
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Without the padding: the same bytes at the end of a longer text are padded differently.
            yield encode(raw).decode().rstrip("=")
    for line in value.splitlines():
        if len(line.strip()) >= LINE_SHORTEST and not line.startswith("-----"):
            yield line.strip()


def _expression(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= SHORT else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])"
