"""Certificates: the authorities' roots and the one that the server shows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from stellwerk.app.doctor.files import authority_dir
from stellwerk.app.doctor.finding import Finding
from stellwerk.settings import Settings
from stellwerk.trust.authority.roots import RootUnusable, load_root

ROOT_SOON = timedelta(days=90)
"""To replace a root every agent has to hear of it."""
GIVEN_SOON = timedelta(days=14)
"""Of a file that somebody else renews: most renew a month before the end."""


def examine_certificates(settings: Settings, now_us: int) -> Iterator[Finding]:
    """Look at roots and server certificate, and when they end."""
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    folder = authority_dir(settings)
    if not folder.is_dir():
        yield Finding.ok("certificates.authority", f"{folder} does not exist yet; the first start makes it")
    else:
        for name in ("agents", "servers"):
            yield _authority(folder / name, name, now)
    if settings.tls.certificate is not None:
        yield _given(settings.tls.certificate, now)
    elif (settings.data_dir / "server.pem").exists():
        yield _own(settings.data_dir / "server.pem", now)


def _authority(folder: Path, name: str, now: datetime) -> Finding:
    check = f"certificates.{name}"
    files = sorted(folder.glob("root-*.pem"))
    if not files:
        return Finding.fail(
            check, f"{folder} holds no root", "restore it from a backup; a start would make a new authority"
        )
    try:
        roots = [root for file in files if (root := load_root(folder, file.stem))]
    except (RootUnusable, OSError) as error:
        return Finding.fail(check, str(error), "see the message")
    end = max(root.certificate.not_valid_after_utc for root in roots)
    advice = f"run: stellwerk ca rotate {name}"
    return _judge(check, f"root of {name}", end, now, soon=ROOT_SOON, advice=advice)


def _given(file: Path, now: datetime) -> Finding:
    check = "certificates.server"
    try:
        chain = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        return Finding.fail(check, f"{file} cannot be read as PEM: {error}", "see tls.certificate")
    end = min(one.not_valid_after_utc for one in chain)
    return _judge(check, str(file), end, now, soon=GIVEN_SOON, advice="renew it; it is read again by itself")


def _own(file: Path, now: datetime) -> Finding:
    check = "certificates.server"
    try:
        end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return Finding.warn(check, f"{file} cannot be read: {error}", "the next start makes a new one")
    if end < now:
        return Finding.warn(
            check, f"{file} ended {end:%Y-%m-%d %H:%M}", "a running server renews it by itself"
        )
    return Finding.ok(check, f"{file} is good until {end:%Y-%m-%d %H:%M}, and renewed by itself")


def _judge(check: str, what: str, end: datetime, now: datetime, *, soon: timedelta, advice: str) -> Finding:
    if end < now:
        return Finding.fail(check, f"{what} ended {end:%Y-%m-%d}", advice)
    if end - now < soon:
        return Finding.warn(check, f"{what} ends {end:%Y-%m-%d}", advice)
    return Finding.ok(check, f"{what} is good until {end:%Y-%m-%d}")
