"""Which addresses a URL of a stranger may lead to: those of the public internet. Pure: no name is looked up."""

from __future__ import annotations

import ipaddress
import socket

__all__ = ["AddressRefused", "is_public", "literal_address"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052; 64:ff9b:1::/48 (RFC 8215) is for private networks
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, 2.5.5.1


class AddressRefused(Exception):
    """A URL that is not fetched: it leads to a private address, or is no http(s) URL. Trying again does not help."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, in whatever form of IPv6 an IPv4 address is wrapped.

    Not loopback, link-local (where clouds keep their credentials), private, CGNAT, multicast, unspecified or reserved.

    :raises ValueError: it is no IP address.
    """
    inner = _unwrapped(ipaddress.ip_address(address))
    return inner.is_global and not (
        inner.is_multicast
        or inner.is_reserved
        or inner.is_link_local
        or (isinstance(inner, ipaddress.IPv6Address) and inner.is_site_local)
    )


def literal_address(host: str) -> str | None:
    """Return the address that a host of a URL is, in the odd forms of inet_aton too (``127.1``); None for a name."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: never asked for in the DNS
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return None


def _unwrapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
