"""Dialling agents, as traffic sees it: whether anything was sent is what decides about trying again."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """What an agent answered; redirects and errors included."""

    status: int
    body: bytes


class NotDialled(Exception):
    """No connection came about; nothing was sent.

    `refused` says that the machine answered and that nothing listens there: the process is gone, or has not
    begun to listen.
    """

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__(detail)
        self.refused = refused


class AnswerLost(Exception):
    """The request may have arrived, but there is no usable answer: the connection broke, or it was too large.

    `late` says that the time was over.
    """

    def __init__(self, detail: str, *, late: bool = False) -> None:
        super().__init__(detail)
        self.late = late


class DialForbidden(Exception):
    """The outbound policy forbids the address; nothing was sent, and trying again is of no use."""


class Dialler(Protocol):
    """Calls agents within the outbound policy: no redirects, answers up to `traffic.answer_bytes`."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send one request. Raises NotDialled, AnswerLost, DialForbidden."""
        ...

    async def get(self, url: str, timeout_s: float) -> Answer:
        """Ask for something. Raises as `post` does."""
        ...
