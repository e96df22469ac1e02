"""How a seed is written: an address, or the name of a host, and a port where that is another than all nodes have."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from discoveryd.protocol.addresses import (
    canonical,
    is_ipv4,
    is_link_local,
    is_sourceless,
    pack_address,
    text_of,
    zone_of,
)

MAX_SEEDS = 1024
"""Seeds that can be named; each is greeted by a datagram of its own."""
MAX_NAME = 253
"""Characters of a host name (RFC 1035, 2.3.4)."""

MAX_LABEL = 63
_LABEL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class Seed(NamedTuple):
    """A seed as it was named.

    Attributes:
        text: as it was written.
        host: its address or its name.
        port: its UDP port; 0 for the one that all nodes have.
        is_name: whether `host` has to be resolved.
    """

    text: str
    host: str
    port: int
    is_name: bool


def parse_seed(text: str) -> Seed:
    """Read a seed: ``10.1.0.5``, ``fd00::5``, ``fe80::1%eth0``, ``hub.example.org``, each with a port or without.

    Raises:
        ValueError: says what is wrong with it.
    """
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else None
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, None
    is_number = port is not None and port.isascii() and port.isdecimal() and len(port) <= 5
    if port is not None and not (is_number and 1 <= int(port) <= 65535):
        raise ValueError(f"{text!r:.100}: after the colon must be a port, 1 to 65535")
    number = int(port or 0)
    if ":" in host or "%" in host:
        try:
            return Seed(text, canonical(host), number, is_name=False)
        except ValueError as error:
            raise ValueError(f"{text!r:.100}: {error}; with a port write [fd00::1]:3400") from None
    if is_ipv4(host):
        return Seed(text, host, number, is_name=False)
    if is_name(host):
        return Seed(text, host.lower().removesuffix("."), number, is_name=True)
    raise ValueError(f"{text!r:.100} is neither an address nor the name of a host, with or without :port")


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a host; what looks like a part of an address cannot."""
    labels = text.removesuffix(".").split(".")
    is_number = labels[-1].isdecimal()
    return len(text) <= MAX_NAME and not is_number and all(map(_is_label, labels))


def _is_label(text: str) -> bool:
    """Return whether a text can stand between two dots of a name."""
    return 0 < len(text) <= MAX_LABEL and _LABEL.issuperset(text) and "-" not in (text[0], text[-1])


def is_unicast(address: str, *, is_local: bool = False) -> bool:
    """Return whether an address can be that of another node; with `is_local` one of loopback can."""
    if is_sourceless(address) or address == "255.255.255.255" or (is_link_local(address) and not zone_of(address)):
        return False
    return is_local or not address.startswith("127.")


class Prefixes:
    """Networks, such as ``10.0.0.0/8`` and ``fd00::/8``.

    Raises:
        ValueError: says what is wrong with one.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = [_network(text) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def hold(self, address: str) -> bool:
        """Return whether an address is of one of these networks."""
        if not self._networks:
            return False
        packed = pack_address(address)
        number, bits = int.from_bytes(packed, "big"), 8 * len(packed)
        return any(
            size == bits and (number ^ network) >> (bits - length) == 0 for network, size, length in self._networks
        )


def _network(text: str) -> tuple[int, int, int]:
    """Read a network: its number, the bits of its addresses, and how many of them are those of the network."""
    address, _, length = text.partition("/")
    try:
        packed = pack_address(canonical(address))
    except ValueError:
        packed = b""
    bits = 8 * len(packed)
    if not packed or "%" in address or not length.isdecimal() or int(length) > bits:
        raise ValueError(f"{text!r:.100} is no network such as 10.0.0.0/8 or fd00::/8")
    number = int.from_bytes(packed, "big")
    rest = number & ((1 << (bits - int(length))) - 1)
    if rest:
        network = text_of((number - rest).to_bytes(len(packed), "big"))
        raise ValueError(f"{text!r:.100}: the network is {network}/{length}")
    return number, bits, int(length)


def faulty_networks(texts: Sequence[str]) -> list[str]:
    """Return what is wrong with networks as they are configured, each fault in words."""
    problems = []
    for text in texts:
        try:
            Prefixes((text,))
        except ValueError as error:
            problems.append(str(error))
    return problems


def faulty_seeds(seeds: Sequence[str]) -> list[str]:
    """Return what is wrong with seeds as they are configured, each fault in words."""
    problems = [f"{len(seeds)} seeds, at most {MAX_SEEDS}: a few are enough"] if len(seeds) > MAX_SEEDS else []
    ports: dict[str, int] = {}
    for text in seeds[:MAX_SEEDS]:
        try:
            seed = parse_seed(text)
        except ValueError as error:
            problems.append(str(error))
            continue
        if ports.setdefault(seed.host, seed.port) != seed.port:
            problems.append(f"{seed.host} with two ports: peers are told apart by their address, so name one")
    return problems
