import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from stellwerk.trust.authority.authority import Authority
from stellwerk.trust.certificates.server import ServerCertificate, names_of

NOW = 1_790_000_000_000_000
DAY_US = 86_400_000_000
WEEK = timedelta(days=7)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open("servers", tmp_path / "servers", NOW)


def test_names_are_compared_in_the_form_of_the_certificate() -> None:
    assert names_of("0.0.0.0", "Edge.Example", "[0:0::1]", "10.0.0.1") == (
        "edge.example",
        "::1",
        "10.0.0.1",
        "localhost",
        "127.0.0.1",
    )


def test_a_certificate_is_made_once_and_kept_private(authority: Authority, tmp_path: Path) -> None:
    server = ServerCertificate(tmp_path / "server.pem", names_of("Edge.Example", "0::2"), WEEK)
    assert server.ensure(authority, NOW) is not None
    assert server.ensure(authority, NOW + 4 * DAY_US) is None
    assert stat.S_IMODE(server.file.stat().st_mode) == 0o600


@pytest.mark.parametrize("reason", ["due", "other names", "other root", "damaged", "other key"])
def test_a_certificate_that_no_longer_does_is_replaced(
    authority: Authority, tmp_path: Path, reason: str
) -> None:
    server = ServerCertificate(tmp_path / "server.pem", names_of("a.example"), WEEK)
    first = server.ensure(authority, NOW)
    content = server.file.read_bytes()
    now_us, names = NOW, server.names
    if reason == "due":
        now_us += 5 * DAY_US
    elif reason == "other names":
        names = names_of("b.example")
    elif reason == "other root":
        authority = Authority.open("servers", tmp_path / "others", NOW)
    elif reason == "damaged":
        server.file.write_bytes(content[:-200])
    else:
        other = ServerCertificate(tmp_path / "other.pem", server.names, WEEK)
        other.ensure(authority, NOW)
        key = other.file.read_bytes().partition(b"-----BEGIN CERT")[0]
        server.file.write_bytes(key + content[content.index(b"-----BEGIN CERT") :])
    again = ServerCertificate(server.file, names, WEEK)
    second = again.ensure(authority, now_us)
    assert second not in (None, first)
    shown = x509.load_pem_x509_certificate(server.file.read_bytes())
    shown.verify_directly_issued_by(authority.signer(now_us).certificate)
