"""Decides to which IP addresses a request may go: public addresses, and networks that a setting allows.

A table's rows say which URLs a tick requests. Without a check, whoever may write rows could make a tick read from the
cluster, the nodes or the cloud's metadata service. Only the IP address of the connection counts: this module resolves a
host name once and judges the addresses, and the caller connects to a judged address. A second, different answer of the
host's DNS server (DNS rebinding) therefore changes nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str], list[str]]
"""Maps a host name to IP addresses. Raises OSError if the host has no address."""

RESOLVE_SECONDS = 5.0
_ADDRESSES_LIMIT = 4
"""At most this many addresses of one host are tried."""
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[Network, ...] = (
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("100:0:0:1::/64"),
    IPv6Network("2001::/23"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
)
"""What `is_global` takes for public on some version of Python, and what IANA's registries of special-purpose addresses
(https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry) reserve for protocols. The
first is Azure's WireServer, which gives a machine its secrets (learn.microsoft.com, what-is-ip-address-168-63-129-16);
the second holds 192.0.0.192, which is Oracle's.
"""


class ForbiddenAddressError(Exception):
    """No address of a host may be requested. The message names one address and the remedy."""


def resolve(host: str) -> list[str]:
    """Ask the operating system for a host's addresses, and wait for RESOLVE_SECONDS at most.

    The lookup runs in a thread, because getaddrinfo has no timeout. Raises OSError; TimeoutError when time is over.
    """
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in entries)))
        except (OSError, ValueError) as error:  # ValueError: e.g. a label of more than 63 characters
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=RESOLVE_SECONDS)
    except Empty:
        raise TimeoutError(f"no answer from DNS within {RESOLVE_SECONDS:.0f} s") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Resolves hosts to the addresses to which requests may go."""

    allowed: tuple[Network, ...] = ()
    """Networks that are not public and are allowed all the same."""
    denied: tuple[Network, ...] = ()
    """Networks that are refused, also where they are public or allowed: a denied network may lie in an allowed one."""
    resolve: Resolve = resolve

    def of(self, host: str) -> list[str]:
        """Return the allowed addresses of `host` in the order in which to try them, _ADDRESSES_LIMIT at most.

        Raises OSError if the host has no address, ForbiddenAddressError if the host has no allowed address.
        """
        addresses = self.resolve(host)
        allowed = [address for address in addresses if self.may_go_to(ip_address(address))]
        if addresses and not allowed:
            raise ForbiddenAddressError(
                f"{host} has the address {addresses[0]}, which is not public or is denied: if requests shall go there, "
                "name its network in POLL_ALLOW_NETWORKS, or take it out of POLL_DENY_NETWORKS"
            )
        return allowed[:_ADDRESSES_LIMIT]

    def may_go_to(self, address: Address) -> bool:
        """Tell whether a request may go to an address. An IPv6 address counts as the IPv4 address inside, if any."""
        embedded = _embedded_ipv4(address)
        places = [address] if embedded is None else [address, embedded]
        if any(place in network for network in self.denied for place in places):
            return False
        return any(place in network for network in self.allowed for place in places) or _is_public(places[-1])


def _is_public(address: Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    reserved = any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not special and not site_local and not reserved


def _embedded_ipv4(address: Address) -> IPv4Address | None:
    """Return the IPv4 address to which a gateway or the kernel would forward packets for an IPv6 address."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
