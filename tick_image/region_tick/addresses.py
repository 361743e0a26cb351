"""Which addresses a request may go to: public ones, and networks that were allowed by name.

Rows of a table say what is requested, so whoever may write rows could otherwise make a tick look into the cluster, its
nodes or the cloud's metadata. What counts is the address that is connected to: a name is resolved here once, judged,
and the connection goes to the result, so that a second answer of its DNS server (rebinding) decides nothing.
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
"""From a host's name to its addresses. Raises OSError where there are none."""

RESOLVE_SECONDS = 5.0
_AT_MOST = 4
_NAT64 = IPv6Network("64:ff9b::/96")
_PUBLIC_IN_NAME_ONLY = frozenset({IPv4Address("168.63.129.16")})
"""Azure's WireServer, which gives a machine its secrets (learn.microsoft.com, what-is-ip-address-168-63-129-16)."""


class ForbiddenAddressError(Exception):
    """A host has no address that a request may go to; the message names an address and the remedy."""


def resolve(host: str) -> list[str]:
    """Ask the system, for at most RESOLVE_SECONDS: getaddrinfo has no timeout of its own. Raises OSError."""
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
        except (OSError, ValueError) as error:  # ValueError: e.g. a label of more than 63 characters
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=RESOLVE_SECONDS)
    except Empty:
        raise TimeoutError(f"no answer from DNS within {RESOLVE_SECONDS:.0f} s") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Resolves hosts to the addresses that requests may go to."""

    allowed: tuple[Network, ...] = ()
    """Networks that are allowed although they are not public."""
    resolve: Resolve = resolve

    def of(self, host: str) -> list[str]:
        """Return the addresses of `host` to try, in order, a few at most.

        Raises OSError where it has none, ForbiddenAddressError where none may be connected to.
        """
        found = self.resolve(host)
        good = [address for address in found if self.may_go_to(ip_address(address))]
        if found and not good:
            raise ForbiddenAddressError(
                f"{host} has the address {found[0]}, which is not public: "
                "if requests shall go there, name its network in POLL_ALLOW_NETWORKS"
            )
        return good[:_AT_MOST]

    def may_go_to(self, address: Address) -> bool:
        """Tell whether a request may go to an address, an IPv4 address within an IPv6 one included."""
        inner = _embedded(address)
        if any(address in network or (inner is not None and inner in network) for network in self.allowed):
            return True
        return _is_public(address if inner is None else inner)


def _is_public(address: Address) -> bool:
    special = address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not special and not site_local and address not in _PUBLIC_IN_NAME_ONLY


def _embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address to which a gateway, or the kernel, would send what is sent to this one."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
