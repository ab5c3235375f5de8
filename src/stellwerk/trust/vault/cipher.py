"""How a secret is sealed at rest: AES-256-GCM under a key that is a file of the data directory.

Name and version are authenticated with the value: a row that was moved under another name does not open.
"""

import contextlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyUnusable(Exception):
    """The key file cannot be used; says what would help."""


class SecretUnreadable(Exception):
    """A stored secret was sealed under another key, or was tampered with."""


def load_key(file: Path) -> bytes:
    """Read the key, or make it at the first start (mode 0600, durable). Raises KeyUnusable."""
    if not file.exists():
        _make_key(file)
    return _existing_key(file)


def _make_key(file: Path) -> None:
    """Give a key its name only when it is whole: replicas that start together look at the same name, and one
    that is killed here must not leave half a key that stops every later start."""
    new = file.with_name(f"{file.name}.{os.urandom(6).hex()}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(AESGCM.generate_key(KEY_BYTES * 8))
        stream.flush()
        os.fsync(stream.fileno())
    try:
        # A link, because it refuses a name that is taken, where a rename would replace another's key.
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(new)
    finally:
        new.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _existing_key(file: Path) -> bytes:
    if file.stat().st_mode & 0o077:
        raise KeyUnusable(f"{file} can be read by others; run: chmod 600 {file}")
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise KeyUnusable(f"{file} has {len(key)} bytes instead of {KEY_BYTES}; restore it from a backup")
    return key


def seal(key: bytes, name: str, version: int, value: str) -> bytes:
    """Encrypt a value; the nonce comes first."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, value.encode(), _context(name, version))


def unseal(key: bytes, name: str, version: int, sealed: bytes) -> str:
    """Decrypt a value. Raises SecretUnreadable."""
    nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, text, _context(name, version)).decode()
    except InvalidTag:
        raise SecretUnreadable(f"secret {name!r} does not open under the present key") from None


def _context(name: str, version: int) -> bytes:
    return f"stellwerk.secret\0{name}\0{version}".encode()
