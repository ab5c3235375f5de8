"""A last look at a certificate before a root signs it.

The builder is signed with a throw-away key and the outcome is read back: what is checked is what would
be signed, not what somebody believed to have asked for.
"""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from stellwerk.trust.authority.requests import RequestRefused, check_key

PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
EXTENSIONS = {
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
}
SERIAL_BITS = range(64, 160)
LONGEST = timedelta(days=398)


class LintFailed(Exception):
    """Refuse to sign what would not be what its profile promises. A fault of ours, not of the caller."""


def lint_leaf(builder: x509.CertificateBuilder, issuer: x509.Certificate) -> None:
    """Check a leaf against the rules of every profile. Raises LintFailed with all complaints."""
    certificate = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    complaints = [*_shape(certificate, issuer), *_extensions(certificate)]
    if complaints:
        raise LintFailed("; ".join(complaints))


def _shape(certificate: x509.Certificate, issuer: x509.Certificate) -> list[str]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    try:
        check_key(certificate.public_key())
        weak = False
    except RequestRefused:
        weak = True
    checks = {
        "the serial number has not 64 to 159 bits": certificate.serial_number.bit_length() not in SERIAL_BITS,
        "the issuer is not the root": certificate.issuer != issuer.subject,
        "the key is not accepted": weak,
        "the key is the root's own": certificate.public_key() == issuer.public_key(),
        "it would end before it begins": ends <= begins,
        "it would be valid for too long": ends - begins > LONGEST,
        "it would outlive the root": ends > issuer.not_valid_after_utc,
    }
    return [complaint for complaint, wrong in checks.items() if wrong]


def _extensions(certificate: x509.Certificate) -> list[str]:
    extensions = certificate.extensions
    kinds = {type(extension.value) for extension in extensions}
    if kinds != EXTENSIONS:
        return ["the extensions are not those of a leaf"]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    checks = {
        "it would be an authority": extensions.get_extension_for_class(x509.BasicConstraints).value.ca,
        "it could sign certificates": usage.key_cert_sign or usage.crl_sign,
        "it could not sign handshakes": not usage.digital_signature,
        "it has not exactly one purpose": len(purposes) != 1 or not purposes <= PURPOSES,
        "it names nobody": not list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value),
    }
    return [complaint for complaint, wrong in checks.items() if wrong]
