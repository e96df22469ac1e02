"""Addresses of both families: their one form, their bytes, their zone."""

import pytest

from discoveryd.protocol.addresses import (
    canonical,
    family_of,
    is_ipv4,
    is_link_local,
    is_sourceless,
    pack_address,
    text_of,
    zone_of,
)
from discoveryd.protocol.link import GROUP, Link

FOUR, SIX = Link("eth0", 2, "10.0.0.1", 24, "10.0.0.255"), Link("eth0", 2, "fe80::1%eth0", 64, GROUP)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("10.0.0.1", True), ("0.0.0.0", True), ("255.255.255.255", True), ("256.0.0.1", False), ("10.0.0", False),
        ("10.0.0.1.", False), ("010.0.0.1", False), ("10.0.0.-1", False), ("10.0.0. 1", False), ("", False),
        ("\u0661.0.0.1", False), ("9" * 5000 + ".0.0.1", False), ("::1", False),
    ],
)  # fmt: skip
def test_is_ipv4(text, good):
    assert is_ipv4(text) is good


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("FD00:0::0001", "fd00::1"), ("fe80::1%eth0", "fe80::1%eth0"),
        ("FE80:0:0:0:0:0:0:1%br-lan.7", "fe80::1%br-lan.7"), ("febf::1%we%ird", "febf::1%we%ird"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("fec0::1", "fec0::1"),
    ],
)  # fmt: skip
def test_an_address_has_one_form(text, form):
    assert canonical(text) == form
    assert canonical(form) == form


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fe80::1", "link-local, so name the interface too: fe80::1%eth0"),
        ("fd00::1%eth0", r"only link-local addresses \(fe80::\) have a zone: write fd00::1"),
        ("::ffff:10.0.0.1", "an IPv4 address in IPv6 form: write 10.0.0.1"),
        ("fe80::1%", "is no name of an interface"), ("fe80::1%a b", "is no name of an interface"),
        ("fe80::1%a/b", "is no name of an interface"), ("fe80::1%" + "a" * 16, "is no name of an interface"),
        ("010.0.0.1", "not an IPv4 or IPv6 address"), ("10.0.0.1%eth0", "not an IPv4 or IPv6 address"),
        ("::1::", "not an IPv4 or IPv6 address"), ("[::1]", "not an IPv4 or IPv6 address"), ("", "not an IPv4 or"),
        ("web1", "not an IPv4 or IPv6 address"), (":" * 10_000, "not an IPv4 or IPv6 address"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_reason(text, why):
    with pytest.raises(ValueError, match=why):
        canonical(text)


@pytest.mark.parametrize(
    ("address", "packed"),
    [
        ("10.0.0.255", b"\n\0\0\xff"), ("fd00::1", b"\xfd" + bytes(14) + b"\1"),
        ("fe80::1", b"\xfe\x80" + bytes(13) + b"\1"),
    ],
)  # fmt: skip
def test_the_bytes_of_an_address_have_no_zone(address, packed):
    assert pack_address(address) == packed
    assert text_of(packed) == address
    assert pack_address(f"{address}%eth0" if is_link_local(address) else address) == packed


@pytest.mark.parametrize(
    ("address", "family", "zone", "is_local"),
    [
        ("10.0.0.1", "ipv4", "", False), ("fd00::1", "ipv6", "", False), ("fe80::1%eth0", "ipv6", "eth0", True),
        ("febf::1%a%b", "ipv6", "a%b", True), ("fe8::1", "ipv6", "", False), ("fec0::1", "ipv6", "", False),
    ],
)  # fmt: skip
def test_family_zone_and_scope(address, family, zone, is_local):
    assert (family_of(address), zone_of(address), is_link_local(address)) == (family, zone, is_local)


@pytest.mark.parametrize(
    ("address", "is_impossible"),
    [
        ("0.0.0.0", True), ("224.0.0.1", True), ("239.255.255.255", True), ("10.0.0.1", False), ("240.0.0.1", False),
        ("::", True), ("::1", True), ("::ffff:10.0.0.1", True), ("ff02::1", True), ("fe80::1%eth0", False),
        ("2001:db8::1", False),
    ],
)  # fmt: skip
def test_addresses_that_no_datagram_comes_from(address, is_impossible):
    assert is_sourceless(address) is is_impossible


def test_a_link_holds_the_addresses_of_its_family():
    assert (FOUR.family, SIX.family) == ("ipv4", "ipv6")
    assert [FOUR.holds(one) for one in ("10.0.0.9", "10.0.1.9", "fe80::9%eth0", "fd00::1")] == [True, False, False, False]
    assert [SIX.holds(one) for one in ("10.0.0.9", "fe80::9%eth0", "fe80::9%eth1", "fd00::1")] == [False, True, False, False]


def test_a_seal_binds_the_bytes_without_the_zone():
    assert (FOUR.packed, SIX.packed) == (b"\n\0\0\1", b"\xfe\x80" + bytes(13) + b"\1")
