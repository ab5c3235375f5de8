"""How a cluster is reached: where it is, how it proves itself, and how we do."""

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Misconfigured(Exception):
    """A kubeconfig or a service account cannot be used; the message says what is wrong with it."""


class Credentials(Protocol):
    """Who we are, to a cluster."""

    async def authorization(self) -> str | None:
        """Return the value of the header `Authorization`; None for none. Raises Misconfigured."""
        ...

    def refused(self) -> bool:
        """Take note that the last value was refused; return whether another one may follow."""
        ...


class Fixed:
    """Credentials that never change: a token, a password, or none beside the client certificate."""

    def __init__(self, value: str | None = None) -> None:
        self._value = value

    async def authorization(self) -> str | None:
        """Return the value."""
        return self._value

    def refused(self) -> bool:
        """Return False: it stays what it is."""
        return False


class FromFile:
    """A token in a file that somebody else keeps fresh, as Kubernetes does for service accounts."""

    def __init__(self, path: Path, *, reread_after_s: float = 60.0) -> None:
        """`reread_after_s`: Kubernetes replaces such tokens minutes before their end."""
        self._path = path
        self._reread_after_s = reread_after_s
        self._value: str | None = None
        self._read_at = 0.0

    async def authorization(self) -> str | None:
        """Return the token in the file."""
        now = asyncio.get_running_loop().time()
        if self._value is None or now - self._read_at > self._reread_after_s:
            try:
                token = (await asyncio.to_thread(self._path.read_text)).strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Misconfigured(f"the token in {self._path} cannot be read: {error}") from error
            self._value, self._read_at = f"Bearer {token}", now
        return self._value

    def refused(self) -> bool:
        """Read the file again."""
        self._value = None
        return True


@dataclass(frozen=True, slots=True)
class Access:
    """All that is needed to call a cluster."""

    name: str
    """What people know it by: the context's name."""
    server: str
    """`https://host:port`, perhaps with a path."""
    tls: ssl.SSLContext | None = field(repr=False)
    """None where the server speaks plain HTTP."""
    credentials: Credentials = field(repr=False)
    tls_server_name: str | None = None
    """Name in the server's certificate, where it is not that of its address."""
    proxy: str | None = None
