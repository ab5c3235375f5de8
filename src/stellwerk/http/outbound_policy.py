"""What the outbound policy allows, and how a call of another server can end."""

import ipaddress
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "::/128",
        "169.254.0.0/16",  # link-local, with the metadata services of most clouds
        "fe80::/10",
        "fd00:ec2::/32",  # AWS metadata
        "100.100.100.200/32",  # Alibaba metadata
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.192/32",  # Oracle metadata
        "224.0.0.0/4",
        "ff00::/8",
        "255.255.255.255/32",
    )
)
"""Addresses that no setting allows."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class OutboundRefused(Exception):
    """The policy forbids the call; nothing was sent, and trying again is of no use."""


class DialFailed(Exception):
    """No connection came about (name, port, TLS, time); nothing was sent.

    `refused` says that the machine answered and nobody listens there.
    """

    def __init__(self, detail: str, *, refused: bool = False) -> None:
        super().__init__(detail)
        self.refused = refused


class AnswerLost(Exception):
    """The request may have arrived, but there is no usable answer: lost, too large, or too late (`late`)."""

    def __init__(self, detail: str, *, late: bool = False) -> None:
        super().__init__(detail)
        self.late = late


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What the other side said; redirects and errors included."""

    status: int
    content_type: str
    """Without parameters, empty if there was none."""
    body: bytes


def is_allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address may be dialled. What embeds an IPv4 address is judged by that one."""
    plain = _embedded(address) or address
    if any(plain in network for network in NEVER):
        return False
    return any(plain in network for network in networks)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
