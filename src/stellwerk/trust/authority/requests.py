"""Certificate signing requests and the keys that are accepted (PKCS#10, RFC 2986)."""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

CURVES = ("secp256r1", "secp384r1")
RSA_BITS = range(2048, 8193)
"""Below is weak; above, one verification costs long enough to be an attack."""
REQUEST_BYTES = 16_384


class RequestRefused(Exception):
    """A signing request that cannot be used; `code` is `csr.malformed`, `csr.signature` or `csr.weak_key`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def read_request(pem: str) -> PublicKey:
    """Return the key of a signing request whose signature proves its possession.

    Subject and names of the request are ignored: the authority states its own. Raises RequestRefused.
    """
    if len(pem) > REQUEST_BYTES:
        raise RequestRefused("csr.malformed", f"The CSR is longer than {REQUEST_BYTES} bytes")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        key = request.public_key()
        proved = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise RequestRefused("csr.malformed", "The CSR is no PEM block with a PKCS#10 request") from None
    accepted = check_key(key)
    if not proved:
        raise RequestRefused("csr.signature", "The CSR's signature does not fit its key")
    return accepted


def check_key(key: object) -> PublicKey:
    """Return the key if it is strong enough. Raises RequestRefused."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS and key.public_numbers().e >= 65_537:
        return key
    raise RequestRefused("csr.weak_key", "Use a P-256, P-384 or Ed25519 key, or RSA with 2048 to 8192 bits")


def key_hash(key: PublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo, in hex: the same for every certificate of one key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
