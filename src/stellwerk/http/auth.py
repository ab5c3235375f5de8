"""Authentication: from a request's headers to a principal, and whether that one may."""

from typing import Protocol

from stellwerk.clock import Clock
from stellwerk.http.limits import Rate
from stellwerk.http.problem import Problem
from stellwerk.settings import LimitSettings
from stellwerk.trust.keys import KeyRefused
from stellwerk.trust.principal import ANONYMOUS, LOCAL, Principal
from stellwerk.trust.scopes import Scope


class Authenticator(Protocol):
    """What is needed of `trust.service.Keys`."""

    def authenticate(self, token: str) -> Principal | KeyRefused: ...


class Authentication:
    """Recognises callers and slows down those who guess. One for all listeners, so that the count is one."""

    __slots__ = ("_clock", "_failures", "_keys", "_requests")

    def __init__(self, keys: Authenticator, limits: LimitSettings, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._failures = Rate(limits.failed_logins_per_min / 60.0, limits.failed_logins_per_min)
        self._requests = Rate(limits.requests_per_s, limits.request_burst)

    def identify(self, headers: dict[bytes, bytes], peer: str, is_open: bool) -> Principal:
        """Name the caller: a key's principal, LOCAL on an open listener, else ANONYMOUS.

        A wrong credential is refused (401) on an open listener too: its sender believes to be somebody.
        Wrong ones beyond the limit are 429; a right one always passes, so that nobody is locked out by a
        neighbour's guessing.
        """
        token = _token(headers)
        if token is None:
            return LOCAL if is_open else ANONYMOUS
        found = self._keys.authenticate(token)
        if isinstance(found, Principal):
            return found
        wait_s = self._failures.take(peer, self._clock.now_us())
        if wait_s:
            raise Problem.too_many("Too many wrong credentials from this address", wait_s)
        raise Problem.unauthenticated("The API key is unknown, expired or revoked")

    def throttle(self, principal: Principal, peer: str) -> None:
        """Count a request against the caller's rate; raise a 429 Problem beyond it."""
        if self._requests.unlimited:
            return
        caller = peer if principal is ANONYMOUS else principal.id
        wait_s = self._requests.take(caller, self._clock.now_us())
        if wait_s:
            raise Problem.too_many("Too many requests", wait_s)


def check_scope(required: Scope, principal: Principal) -> None:
    """Raise a 401 or 403 Problem unless the principal has the scope."""
    if principal is ANONYMOUS:
        raise Problem.unauthenticated("Send an API key: Authorization: Bearer …, or X-API-Key")
    if not principal.may(required):
        raise Problem.forbidden(f"This needs the scope {required.value}", "missing_scope")


def _token(headers: dict[bytes, bytes]) -> str | None:
    """Find the credential: `Authorization: Bearer …`, else `X-API-Key`; None without either.

    Another scheme is answered like a wrong token; only the first word of `Authorization` is not
    case-sensitive.
    """
    authorization = headers.get(b"authorization")
    if authorization is None:
        key = headers.get(b"x-api-key")
        return None if key is None else key.decode("latin-1")
    scheme, _, token = authorization.partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
