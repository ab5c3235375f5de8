"""Which addresses may be dialled."""

import ipaddress

import pytest

from stellwerk.http.outbound_policy import is_allowed
from stellwerk.settings import OutboundSettings

DEFAULT = tuple(ipaddress.ip_network(text) for text in OutboundSettings().allowed_networks)
ANYTHING = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "10.1.2.3", "172.31.0.1", "192.168.0.9", "fd12::1"])
def test_private_networks_are_allowed_by_default(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text), DEFAULT)


@pytest.mark.parametrize("text", ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8"])
def test_public_networks_are_not(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), DEFAULT)


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
def test_metadata_services_are_never_allowed_however_they_are_written(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), ANYTHING)
