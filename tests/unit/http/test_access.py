"""Which hosts and pages may reach a listener."""

import pytest

from stellwerk.http.access import access_of, host_name, is_foreign, is_loopback
from stellwerk.settings import AccessSettings, ServerSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_listeners_are_open_unless_told_otherwise(host: str) -> None:
    assert access_of("main", host, ServerSettings(), AccessSettings()).open
    assert not access_of("main", host, ServerSettings(), AccessSettings(open_loopback=False)).open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])
def test_other_listeners_are_never_open(host: str) -> None:
    assert not is_loopback(host)
    assert not access_of("main", host, ServerSettings(), AccessSettings()).open


def test_behind_a_proxy_no_listener_is_open() -> None:
    access = AccessSettings(trusted_proxies=("127.0.0.1/32",))
    assert not access_of("main", "127.0.0.1", ServerSettings(), access).open


def test_a_closed_listener_answers_to_any_name() -> None:
    assert access_of("main", "0.0.0.0", ServerSettings(), AccessSettings()).hosts is None


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8080", "localhost"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("localhost:", None),
        ("localhost:80x", None),
        ("localhost:80@evil.example", None),
        ("[::1", None),
        ("[::1]x", None),
        ("", None),
        (":80", None),
    ],
)
def test_the_name_is_read_out_of_host(header: str, name: str | None) -> None:
    assert host_name(header) == name


def foreign(method: str = "POST", allowed: frozenset[str] = frozenset(), **headers: str) -> bool:
    pairs = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return is_foreign({b"host": b"localhost:8080", **pairs}, method, allowed)


def test_programs_and_own_pages_pass() -> None:
    assert not foreign()
    assert not foreign(origin="http://localhost:8080")
    assert not foreign(origin="https://LOCALHOST:8080")
    assert not foreign(sec_fetch_site="same-origin")
    assert not foreign(sec_fetch_site="none")


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://localhost",
        "http://localhost:3000",
        "http://evil.example",
        "http://localhost:8080.evil.example",
        "file://localhost:8080",
        "localhost:8080",
        "",
    ],
)
def test_other_origins_are_foreign(origin: str) -> None:
    assert foreign(origin=origin)


def test_cross_site_requests_are_foreign_except_a_link_that_is_followed() -> None:
    assert foreign("GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    assert foreign("POST", sec_fetch_site="cross-site", sec_fetch_mode="navigate")
    assert not foreign("GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate")


def test_a_configured_origin_passes_to_the_letter() -> None:
    allowed = frozenset({"https://ops.example"})
    assert not foreign(allowed=allowed, origin="https://ops.example", sec_fetch_site="cross-site")
    assert foreign(allowed=allowed, origin="https://ops.example.evil")
    assert foreign(allowed=allowed, origin="http://ops.example")
