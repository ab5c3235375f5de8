import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from stellwerk.trust.authority import profiles
from stellwerk.trust.authority.authority import Authority, RotationUnderWay
from stellwerk.trust.authority.linting import LintFailed
from stellwerk.trust.authority.requests import RequestRefused, key_hash, read_request
from stellwerk.trust.authority.roots import Root, RootUnusable
from support.clock import FakeClock

DAY = timedelta(days=1)
NOW = FakeClock().now_us()


def grant(root: Root, lifetime: timedelta = DAY, serial: int | None = None) -> profiles.Grant:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    valid = profiles.validity(NOW, lifetime)
    return profiles.Grant(key, root.certificate, serial or x509.random_serial_number(), valid)


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "I am root")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


def test_an_agents_certificate_is_what_a_strict_verifier_accepts(tmp_path: Path) -> None:
    authority = Authority.open("agents", tmp_path, NOW)
    leaf = authority.prepare(lambda root: profiles.agent("a-1", "stellwerk", grant(root)), NOW).sign()
    verifier = (
        PolicyBuilder()
        .store(Store([authority.signer(NOW).certificate]))
        .time(leaf.not_valid_before_utc + timedelta(hours=1))
        .build_client_verifier()
    )
    verified = verifier.verify(leaf, [])
    assert verified.subjects == [x509.UniformResourceIdentifier("spiffe://stellwerk/agent/a-1")]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == DAY + profiles.BACKDATE


def test_a_servers_certificate_names_hosts_and_addresses(tmp_path: Path) -> None:
    authority = Authority.open("servers", tmp_path, NOW)
    leaf = authority.prepare(
        lambda root: profiles.server(["localhost", "127.0.0.1"], grant(root)), NOW
    ).sign()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1"]


def test_the_roots_survive_a_restart_and_their_keys_are_private(tmp_path: Path) -> None:
    first = Authority.open("agents", tmp_path, NOW)
    again = Authority.open("agents", tmp_path, NOW)
    assert again.signer(NOW).fingerprint == first.signer(NOW).fingerprint
    assert stat.S_IMODE((tmp_path / "root-1.key").stat().st_mode) == 0o600


def test_a_rotation_trusts_both_roots_until_the_older_is_retired(tmp_path: Path) -> None:
    authority = Authority.open("agents", tmp_path, NOW)
    old = authority.signer(NOW)
    new = authority.rotate(NOW)
    assert authority.roots == (new, old)
    with pytest.raises(RotationUnderWay):
        authority.rotate(NOW)
    assert authority.retire() == old
    assert Authority.open("agents", tmp_path, NOW).signer(NOW).fingerprint == new.fingerprint
    assert authority.retire() is None


def test_a_new_root_signs_only_when_it_has_settled(tmp_path: Path) -> None:
    authority = Authority.open("agents", tmp_path, NOW, settling=DAY)
    later = NOW + 10 * 86_400_000_000
    old, new = authority.signer(NOW), authority.rotate(later)
    assert authority.signer(later + 86_399_000_000) == old
    assert authority.signer(later + 86_400_000_000) == new


def test_what_was_prepared_is_signed_once(tmp_path: Path) -> None:
    authority = Authority.open("agents", tmp_path, NOW)
    prepared = authority.prepare(lambda root: profiles.agent("a-1", "stellwerk", grant(root)), NOW)
    prepared.sign()
    with pytest.raises(RuntimeError):
        prepared.sign()


@pytest.mark.parametrize("harm", ["readable", "foreign", "missing"])
def test_a_damaged_root_is_refused_with_what_would_help(tmp_path: Path, harm: str) -> None:
    Authority.open("agents", tmp_path, NOW)
    key = tmp_path / "root-1.key"
    if harm == "readable":
        key.chmod(0o644)
    elif harm == "foreign":
        Authority.open("agents", tmp_path / "other", NOW)
        key.write_bytes((tmp_path / "other" / "root-1.key").read_bytes())
    else:
        key.unlink()
    with pytest.raises(RootUnusable, match=r"root-1"):
        Authority.open("agents", tmp_path, NOW)


@pytest.mark.parametrize(
    ("complaint", "wrong"),
    [
        ("valid for too long", {"lifetime": timedelta(days=399)}),
        ("serial number", {"serial": 5}),
    ],
)
def test_the_lint_refuses_what_no_profile_promises(tmp_path: Path, complaint: str, wrong: dict) -> None:
    authority = Authority.open("agents", tmp_path, NOW)
    with pytest.raises(LintFailed, match=complaint):
        authority.prepare(lambda root: profiles.agent("a-1", "stellwerk", grant(root, **wrong)), NOW)


def test_the_lint_refuses_an_authority_as_a_leaf(tmp_path: Path) -> None:
    authority = Authority.open("agents", tmp_path, NOW)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(LintFailed):
        authority.prepare(lambda _: profiles.root("evil", key, NOW), NOW)


def test_a_request_gives_its_key_and_nothing_else() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    assert key_hash(read_request(request(key))) == key_hash(key.public_key())


def test_weak_malformed_and_forged_requests_are_told_apart() -> None:
    with pytest.raises(RequestRefused) as weak:
        read_request(request(rsa.generate_private_key(65_537, 1024)))
    with pytest.raises(RequestRefused) as curve:
        read_request(request(ec.generate_private_key(ec.SECP521R1())))
    with pytest.raises(RequestRefused) as malformed:
        read_request("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
    assert (weak.value.code, curve.value.code, malformed.value.code) == (
        "csr.weak_key",
        "csr.weak_key",
        "csr.malformed",
    )


def test_a_request_signed_with_another_key_is_refused() -> None:
    der = bytearray(
        x509.load_pem_x509_csr(request(ec.generate_private_key(ec.SECP256R1())).encode()).public_bytes(
            Encoding.DER
        )
    )
    der[-1] ^= 1
    try:
        forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    except ValueError:
        pytest.skip("the forged bytes are no request any more")
    with pytest.raises(RequestRefused) as refused:
        read_request(forged)
    assert refused.value.code in ("csr.signature", "csr.malformed")
