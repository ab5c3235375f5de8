"""The agent's key and certificate, and how they survive a crash at any moment.

Theory of operation. Files in `identity/`, each replaced as a whole (temporary file, fsync, rename):

    key.pem       a key made here whose certificate has not come yet
    next.pem      key and certificate that have come and not been used
    current.pem   key and certificate in use
    ca.pem        the only roots that may vouch for the server
    config.json   what the server last asked of this agent
    ticket        a token bound to the certificate, for proxies
    revoked       exists once the server said that this agent must not come back

Key and certificate stand in one file, so they are never of two pairs. A key is on disk *before* its CSR is
sent: when the answer is lost, or the agent is killed while it stores it, the same key is sent again and the
server answers with the same certificate. A new pair is tried first and replaces the old one by a rename, when
a request with it has succeeded; a new pair that is refused is dropped and the old one goes on. The agent's id
is read from the certificate, so no second file can disagree.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from stellwerk.agent.clock import SECOND
from stellwerk.agent.durable import settle_folder, write_durably
from stellwerk.agent.wire import Config


class IdentityUnusable(Exception):
    """What was found on disk or handed out cannot be an identity. Says what would help."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key with its certificate, in a file of both."""

    path: Path
    agent_id: str
    serial: int
    not_before: int
    """Microseconds UTC, by the server's clock, as `not_after`."""
    not_after: int

    def renew_at(self, renew_after_s: float | None, spread: float) -> int:
        """When to ask for the next one: after two thirds unless the server says otherwise.

        `spread` in 0..1 moves it up to 5 % of the life back, so that a fleet does not renew as one; never
        forward, because the server would refuse.
        """
        life = self.not_after - self.not_before
        wait = life * 2 // 3 if renew_after_s is None else min(int(renew_after_s * SECOND), life)
        return self.not_before + wait + int(life * 0.05 * spread)


class IdentityStore:
    """Keeps the files; knows no network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = folder / "key.pem"
        self._next = folder / "next.pem"
        self._current = folder / "current.pem"
        self._ca = folder / "ca.pem"
        self._config = folder / "config.json"
        self._ticket = folder / "ticket"
        self._revoked = folder / "revoked"

    def prepare(self) -> None:
        """Make the folder, for this user only."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)

    def pairs(self) -> list[Pair]:
        """List what may be tried, the newest first. A file that is broken is as good as none."""
        found = []
        for path in (self._next, self._current):
            with contextlib.suppress(FileNotFoundError, IdentityUnusable):
                found.append(_read_pair(path))
        return found

    def request(self) -> str:
        """Return a CSR (PEM) for the key that waits for its certificate; make and store one if need be."""
        key = self._waiting_key()
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            write_durably(self._key, _key_pem(key))
        # The server states its own subject; this one is only a required field.
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
        signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
        return signed.public_bytes(Encoding.PEM).decode()

    def keep_next(self, certificate_pem: str) -> Pair:
        """Store a certificate that was issued for the waiting key; it is to be tried next.

        Raises IdentityUnusable for one that is not of that key, OSError when it cannot be stored: then
        nothing has changed and asking again gets it again.
        """
        key = self._waiting_key()
        certificate = _certificate(certificate_pem.encode())
        if key is None or key.public_key() != certificate.public_key():
            raise IdentityUnusable("the server answered with a certificate of another key")
        _agent_id(certificate)
        write_durably(self._next, _key_pem(key) + certificate_pem.encode().strip() + b"\n")
        self._key.unlink(missing_ok=True)
        return _read_pair(self._next)

    def promote(self, pair: Pair) -> Pair:
        """Make a pair that has proved itself the current one; the older is gone then."""
        if pair.path != self._next:
            return pair
        self._next.replace(self._current)
        settle_folder(self._folder)
        return _read_pair(self._current)

    def drop(self, pair: Pair) -> None:
        """Forget a next pair that was refused; the current one stays."""
        if pair.path == self._next:
            self._next.unlink(missing_ok=True)

    def forget_key(self) -> None:
        """Give up the waiting key: the next request is made with a new one."""
        self._key.unlink(missing_ok=True)

    def ca(self) -> str | None:
        """Return the bundle that verifies the server; None before the first registration."""
        with contextlib.suppress(FileNotFoundError):
            return self._ca.read_text()
        return None

    def keep_ca(self, bundle: str) -> bool:
        """Store the bundle; tell whether it is another than before. Raises IdentityUnusable."""
        try:
            roots = x509.load_pem_x509_certificates(bundle.encode())
        except ValueError as error:
            raise IdentityUnusable(f"the server's CA bundle is no PEM: {error}") from error
        clean = "".join(root.public_bytes(Encoding.PEM).decode() for root in roots)
        if clean == self.ca():
            return False
        write_durably(self._ca, clean.encode())
        return True

    def config(self) -> Config:
        """Return what the server asked last; only defaults where nothing can be read."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._config.read_bytes(), type=Config)
        return Config()

    def keep_config(self, config: Config) -> None:
        """Store what the server asks; a full disk costs only the memory of it."""
        with contextlib.suppress(OSError):
            write_durably(self._config, msgspec.json.encode(config))

    def ticket(self) -> str | None:
        """Return the token that goes with the certificate."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return self._ticket.read_text().strip() or None
        return None

    def keep_ticket(self, ticket: str) -> None:
        """Store the token; a full disk costs only what a restart needs behind a proxy."""
        with contextlib.suppress(OSError):
            write_durably(self._ticket, ticket.encode())

    @property
    def is_revoked(self) -> bool:
        """Whether the server said that this agent must not come back."""
        return self._revoked.exists()

    def mark_revoked(self) -> None:
        """Remember it over restarts."""
        with contextlib.suppress(OSError):
            write_durably(self._revoked, b"")

    def start_afresh(self) -> None:
        """Remove what a new registration has replaced."""
        self._current.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every identity, for an agent that was sent away and has a new token."""
        for path in (self._current, self._next, self._key, self._ticket, self._revoked):
            path.unlink(missing_ok=True)

    def _waiting_key(self) -> ec.EllipticCurvePrivateKey | None:
        try:
            key = _load_key(self._key.read_bytes())
        except (FileNotFoundError, IdentityUnusable):
            return None
        # Killed between storing a pair and removing its key: that key is not waiting any more.
        for path in (self._next, self._current):
            with contextlib.suppress(FileNotFoundError, IdentityUnusable):
                if _load_key(path.read_bytes()).public_key() == key.public_key():
                    self._key.unlink(missing_ok=True)
                    return None
        return key


def check_permissions(folder: Path) -> None:
    """Refuse keys that others can read. Raises IdentityUnusable."""
    for name in ("key.pem", "next.pem", "current.pem"):
        path = folder / name
        if path.exists() and path.stat().st_mode & 0o077:
            raise IdentityUnusable(f"{path} can be read by others; run: chmod 600 {path}")


def _read_pair(path: Path) -> Pair:
    content = path.read_bytes()
    certificate = _certificate(content)
    if _load_key(content).public_key() != certificate.public_key():
        raise IdentityUnusable(f"{path} holds a key and a certificate of two pairs")
    return Pair(
        path=path,
        agent_id=_agent_id(certificate),
        serial=certificate.serial_number,
        not_before=_microseconds(certificate.not_valid_before_utc),
        not_after=_microseconds(certificate.not_valid_after_utc),
    )


def _certificate(content: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise IdentityUnusable(f"no certificate in PEM: {error}") from error


def _load_key(content: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise IdentityUnusable(f"no key in PEM: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityUnusable("the key is not one that this agent made")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _agent_id(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not names[0].value:
        raise IdentityUnusable("the certificate names no agent")
    return str(names[0].value)


def _microseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND
