"""Where a request may go: every kind of address, however it is written, and names that lead there."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_tick import addresses
from region_tick.addresses import Address, Addresses, ForbiddenAddressError, resolve

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::8.8.8.8", "2002:808:808::1"]
NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - not to bind to
    "10.0.0.1",
    "10.96.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.8.9.10",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "64:ff9b::192.0.0.192",
    "::ffff:192.0.0.192",
    "::ffff:0:127.0.0.1",
    "100::1",
    "100:0:0:1::1",
    "2001:1::1",
    "2001:2::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "2001:0:0:1::f5ff:fffe",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


def named(*found: str, allowed: str = "") -> Addresses:
    return Addresses(allowed=tuple(map(ip_network, allowed.split())), resolve=lambda _: list(found))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_gone_to(address: str) -> None:
    assert named(address).of("upstream.test") == [address]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_others_are_not(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"upstream\.test has the address .* POLL_ALLOW_NETWORKS"):
        named(address).of("upstream.test")


@given(st.sampled_from(["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"]), st.integers(0, 65535))
def test_no_embedding_of_a_private_address_passes(network: str, number: int) -> None:
    inner = int(ip_network(network)[number])
    wrapped: list[Address] = [
        IPv4Address(inner),
        IPv6Address((0xFFFF << 32) | inner),
        IPv6Address((0x64FF9B << 96) | inner),
    ]
    wrapped.append(IPv6Address((0x2002 << 112) | (inner << 80)))
    assert not any(Addresses().may_go_to(address) for address in wrapped)


def test_of_several_only_the_public_ones_are_tried_and_a_few_at_most() -> None:
    assert named("127.0.0.1", "8.8.8.8", "10.0.0.1").of("h") == ["8.8.8.8"]
    assert len(named(*(f"8.8.8.{n}" for n in range(1, 200))).of("h")) == 4


def test_a_network_is_allowed_by_name_and_no_other_with_it() -> None:
    allowing = named("10.1.2.3", "10.2.0.1", allowed="10.1.0.0/16")
    assert allowing.of("h") == ["10.1.2.3"]
    assert allowing.may_go_to(ip_address("::ffff:10.1.2.3"))
    assert not allowing.may_go_to(ip_address("::ffff:10.2.0.1"))


def test_a_network_is_denied_although_it_is_public_or_allowed() -> None:
    """Pods and nodes of some clusters have public addresses."""
    guarded = Addresses(
        allowed=(ip_network("10.0.0.0/8"),),
        denied=(ip_network("2600:1f00::/24"), ip_network("8.8.8.0/24"), ip_network("10.9.0.0/16")),
    )
    for address in ("2600:1f00::1", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "10.9.0.1", "::ffff:10.9.0.1"):
        assert not guarded.may_go_to(ip_address(address))
    for address in ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "8.8.4.4", "10.1.0.1"):
        assert guarded.may_go_to(ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "::1"])
def test_every_way_to_write_loopback_is_found_out(host: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        Addresses().of(host)


def test_a_name_without_address_is_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="label"):
        resolve("a" * 64 + ".test")

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="not known"):
        resolve("no-such-host.test")


def test_a_dns_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(10) and [])
    monkeypatch.setattr(addresses, "RESOLVE_SECONDS", 0.1)
    with pytest.raises(TimeoutError, match="DNS"):
        resolve("silent.test")
    released.set()
