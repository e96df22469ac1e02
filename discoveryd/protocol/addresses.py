"""Addresses of both families, as the texts that every part of this project keeps, compares and shows.

An address has one form: ``10.0.0.1``, ``fd00::1``, and link-local with its zone, ``fe80::1%eth0`` (RFC 4007). The zone
is the name of the interface of this machine that leads there: without it the address means nothing.
"""

from typing import Literal, get_args

Family = Literal["ipv4", "ipv6"]
FAMILIES: tuple[Family, ...] = get_args(Family)

MAX_ZONE = 15
"""Characters of the name of an interface (IFNAMSIZ)."""
_BYTES = frozenset(map(str, range(256)))
_LINK_LOCAL = tuple(f"fe{digit}" for digit in "89ab")  # fe80::/10
_SOURCELESS = frozenset(("0", *map(str, range(224, 240))))
"""First bytes of IPv4 addresses that no datagram comes from: this network, and multicast."""
_MAPPED = bytes(10) + b"\xff\xff"


def family_of(address: str) -> Family:
    """Return the family of an address."""
    return "ipv6" if ":" in address else "ipv4"


def is_ipv4(text: str) -> bool:
    """Return whether a text is a dotted IPv4 address in its canonical form."""
    parts = text.split(".")
    return len(parts) == 4 and _BYTES.issuperset(parts)


def canonical(text: str) -> str:
    """Return the one form of an address that a person wrote, such as ``fd00::1`` for ``FD00:0::0001``.

    Raises:
        ValueError: it says what is wrong: no address, a link-local one without a zone, a zone where none belongs.
    """
    if is_ipv4(text):
        return text
    address, has_zone, zone = text.partition("%")
    try:
        packed = _pack_ipv6(address)
    except ValueError:
        raise ValueError("not an IPv4 or IPv6 address") from None
    if packed.startswith(_MAPPED):
        raise ValueError(f"an IPv4 address in IPv6 form: write {'.'.join(map(str, packed[12:]))}")
    plain = text_of(packed)
    if not is_link_local(plain):
        if has_zone:
            raise ValueError(f"only link-local addresses (fe80::) have a zone: write {plain}")
        return plain
    if not has_zone:
        raise ValueError(f"link-local, so name the interface too: {plain}%eth0")
    if not 1 <= len(zone) <= MAX_ZONE or "/" in zone or not zone.isprintable() or " " in zone:
        raise ValueError(f"{zone!r:.40} after % is no name of an interface")
    return f"{plain}%{zone}"


def text_of(packed: bytes) -> str:
    """Return the text of the 4 or 16 bytes of an address, without a zone (RFC 5952)."""
    if len(packed) == 4:
        return ".".join(map(str, packed))
    # not at the top: a node that speaks IPv4 alone must not wait for it
    from ipaddress import IPv6Address  # noqa: PLC0415

    return str(IPv6Address(packed))


def pack_address(address: str) -> bytes:
    """Return the 4 or 16 bytes of an address, without its zone; only these are authenticated."""
    if ":" in address:
        return _pack_ipv6(address.partition("%")[0])
    return bytes(map(int, address.split(".")))


def _pack_ipv6(address: str) -> bytes:
    from ipaddress import IPv6Address  # noqa: PLC0415 - as above

    return IPv6Address(address).packed


def zone_of(address: str) -> str:
    """Return the interface that a link-local address names, empty for any other address."""
    return address.partition("%")[2]


def is_link_local(address: str) -> bool:
    """Return whether an address is IPv6 link-local, so that it means nothing beyond one link."""
    return address.startswith(_LINK_LOCAL) and address.find(":") == 4  # fe8: is another group than fe80:


def is_sourceless(address: str) -> bool:
    """Return whether no datagram comes from an address, whatever the network."""
    if ":" in address:
        # multicast; the unspecified address and IPv4 in IPv6 form begin with ::
        return address.startswith(("ff", "::"))
    return address.partition(".")[0] in _SOURCELESS

