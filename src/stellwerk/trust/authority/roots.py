"""A root: its key, its certificate, and the files that hold them.

The key file has mode 0600 and is written before the certificate, each through a temporary file, `fsync` and
rename: a process killed in between leaves a key that nobody uses, never a certificate without its key.
"""

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stellwerk.trust.authority import profiles


class RootUnusable(Exception):
    """The files of a root are missing, foreign to each other, or readable by others. Says what would help."""


@dataclass(frozen=True, slots=True)
class Root:
    """One root of an authority."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER certificate in hex: what people compare and agents pin."""
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    @property
    def begins(self) -> datetime:
        """When it was made, as far as its certificate says."""
        return self.certificate.not_valid_before_utc + profiles.BACKDATE

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what has been linted."""
        return builder.sign(self.key, SHA256())


def make_root(name: str, now_us: int) -> Root:
    """Make a new root with a P-256 key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Root(key, profiles.root(name, key.public_key(), now_us).sign(key, SHA256()))


def save_root(root: Root, folder: Path, name: str) -> None:
    """Write `NAME.key` and `NAME.pem` durably."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_durably(folder / f"{name}.key", secret, 0o600)
    write_durably(folder / f"{name}.pem", root.pem.encode(), 0o644)


def load_root(folder: Path, name: str) -> Root | None:
    """Read a root; None where there is none. Raises RootUnusable."""
    certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    if not certificate_file.exists():
        return None
    if not key_file.exists():
        raise RootUnusable(f"{key_file} is missing; restore it, or remove {certificate_file} to start afresh")
    if key_file.stat().st_mode & 0o077:
        raise RootUnusable(f"{key_file} can be read by others; run: chmod 600 {key_file}")
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise RootUnusable(f"{certificate_file} or its key is no valid PEM: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise RootUnusable(f"{key_file} is not the key of {certificate_file}")
    return Root(key, certificate)


def write_durably(path: Path, content: bytes, mode: int) -> None:
    """Replace the file as a whole: readers see the old or the new content, also after a crash."""
    temporary = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
