"""What a presented certificate says of itself."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The claims of a certificate; nothing here is proved but that its text hashes to the thumbprint."""

    serial: str
    agent_id: str
    thumbprint: str
    not_before: int
    not_after: int


def read_certificate(der: bytes) -> CertificateFacts | None:
    """Read an agent's certificate; None if it is none of an agent."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        agent_id = _agent_of(names.get_values_for_type(x509.UniformResourceIdentifier))
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    return None if agent_id is None else facts_of(certificate, agent_id)


def facts_of(certificate: x509.Certificate, agent_id: str) -> CertificateFacts:
    """State the facts of a certificate that is known to be this agent's."""
    return CertificateFacts(
        serial=write_serial(certificate.serial_number),
        agent_id=agent_id,
        thumbprint=thumbprint_of(certificate),
        not_before=microseconds(certificate.not_valid_before_utc),
        not_after=microseconds(certificate.not_valid_after_utc),
    )


def write_serial(number: int) -> str:
    """Write a serial number as it is recorded."""
    return f"{number:x}"


def thumbprint_of(certificate: x509.Certificate) -> str:
    """Return the `x5t#S256` of a certificate (RFC 8705, section 3.1)."""
    digest = certificate.fingerprint(SHA256())
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _agent_of(identities: list[str]) -> str | None:
    """Take the agent out of `spiffe://DOMAIN/agent/ID`; one such name and no other makes an agent's."""
    if len(identities) != 1 or not identities[0].startswith("spiffe://"):
        return None
    _, kind, agent_id = [*identities[0].removeprefix("spiffe://").split("/"), "", "", ""][:3]
    return agent_id if kind == "agent" and agent_id else None


def microseconds(instant: datetime) -> int:
    """Return an instant as microseconds UTC."""
    return (instant - EPOCH) // timedelta(microseconds=1)
