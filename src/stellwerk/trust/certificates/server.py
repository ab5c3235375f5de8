"""The server's own certificate, from the server authority, in one file with its key.

One file, replaced as a whole, cannot be read half old and half new; listeners load it again when it changes.
"""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stellwerk.trust.authority import profiles
from stellwerk.trust.authority.authority import Authority
from stellwerk.trust.authority.roots import Root, write_durably
from stellwerk.trust.certificates.facts import microseconds
from stellwerk.trust.certificates.renewing import renewal_is_due


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Where it lies, whom it names, how long it lives."""

    file: Path
    names: tuple[str, ...]
    lifetime: timedelta

    def ensure(self, authority: Authority, now_us: int) -> str | None:
        """Make a new one unless the present one still does; return the new serial, None if it does."""
        if self._does(authority.signer(now_us), now_us):
            return None
        key, serial = ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()
        valid = profiles.validity(now_us, self.lifetime)

        def describe(root: Root) -> x509.CertificateBuilder:
            return profiles.server(
                self.names, profiles.Grant(key.public_key(), root.certificate, serial, valid)
            )

        certificate = authority.prepare(describe, now_us).sign()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self.file, secret + certificate.public_bytes(Encoding.PEM), 0o600)
        return f"{serial:x}"

    def _does(self, root: Root, now_us: int) -> bool:
        try:
            content = self.file.read_bytes()
            certificate = x509.load_pem_x509_certificate(content)
            key = load_pem_private_key(content, password=None)
            certificate.verify_directly_issued_by(root.certificate)
            named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return (
            key.public_key() == certificate.public_key()
            and sorted(str(name.value) for name in named) == sorted(self.names)
            and not renewal_is_due(microseconds(begins), microseconds(ends), now_us, asked=True)
        )


def names_of(*given: str) -> tuple[str, ...]:
    """Return the names that a server is reached under: those given, but unspecified addresses, and loopback.

    In the form in which a certificate gives them back, so that they can be compared.
    """
    names = (_canonical(name) for name in (*given, "localhost", "127.0.0.1", "::1"))
    return tuple(dict.fromkeys(name for name in names if name))


def _canonical(name: str) -> str:
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.lower()
    return "" if address.is_unspecified else str(address)
