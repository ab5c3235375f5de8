"""What an agent's answer means: a result, a promise to report it, or a failure."""

import msgspec

from stellwerk.traffic.dialling import Answer

ACCEPTED = 202
LONGEST_TEXT = 4_000
"""Characters of an error that are kept as its text; the rest is in the details."""
MOST_DETAILS = 65_536
"""Bytes of an agent's error that are kept."""


NO_DETAILS = msgspec.Raw(b"null")
"""Not None: raw JSON cannot be one of several types."""


class Done(msgspec.Struct, frozen=True):
    """The result, as JSON text."""

    result: str


class Promised(msgspec.Struct, frozen=True):
    """The agent works on it and will report."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An end without a result; it is kept as JSON."""

    error: str
    details: msgspec.Raw = NO_DETAILS
    status: int | None = None
    """HTTP status of the agent's answer."""
    unreachable: bool = False
    """Whether it was never sent."""

    @property
    def details_text(self) -> str | None:
        """The details as JSON text; None if there are none."""
        text = bytes(self.details).decode()
        return None if text == "null" else text


def read_answer(answer: Answer) -> Done | Promised | Failure:
    """Tell what the agent said. Nothing of it is trusted to be JSON."""
    if answer.status == ACCEPTED:
        return Promised()
    text = json_text(answer.body)
    if 200 <= answer.status < 300:
        if not answer.body.strip():
            return Done("null")
        if text is None:
            return Failure(error="the agent's answer is not JSON", status=answer.status)
        return Done(text)
    if 300 <= answer.status < 400:
        return Failure(
            error="the agent answered with a redirect, which is not followed", status=answer.status
        )
    details = msgspec.Raw(text.encode()) if text is not None and len(text) <= MOST_DETAILS else NO_DETAILS
    return Failure(error=_said(answer, text), details=details, status=answer.status)


def json_text(body: bytes) -> str | None:
    """Return a body as text if it is JSON, None otherwise."""
    try:
        msgspec.json.decode(body)
        return body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def write_failure(failure: Failure) -> str:
    """Return the JSON text under which a failure is kept."""
    return msgspec.json.encode(failure).decode()


def read_failure(text: str | None) -> Failure | None:
    """Return a failure that was kept; also of what others wrote as the error of a task."""
    if text is None:
        return None
    try:
        return _FAILURES.decode(text)
    except msgspec.ValidationError:
        return Failure(error=_plain(text))


_FAILURES = msgspec.json.Decoder(Failure)


def _said(answer: Answer, text: str | None) -> str:
    fallback = f"the agent answered with status {answer.status}"
    if text is None:
        return fallback
    said = msgspec.json.decode(text)
    if isinstance(said, dict):
        for name in ("error", "detail", "message"):
            found = said.get(name)
            if isinstance(found, str) and found:
                return found[:LONGEST_TEXT]
    return said[:LONGEST_TEXT] if isinstance(said, str) and said else fallback


def _plain(text: str) -> str:
    said = msgspec.json.decode(text)
    return said if isinstance(said, str) else text
