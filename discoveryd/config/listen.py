"""Where a socket listens, as the configuration says it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import ClassVar

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.addresses import canonical, is_ipv4


@frozen
class ListenSection:
    """A section with a TCP socket that listens."""

    listen: str = "off"

    KEY: ClassVar[str]
    EXAMPLE: ClassVar[str]
    TAKES_IPV6: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.listen != "off" and parse_listen(self.listen, takes_ipv6=self.TAKES_IPV6) is None:
            kinds = f"an address and a port such as {self.EXAMPLE} or [::1]:8080" if self.TAKES_IPV6 else (
                f"an IPv4 address and a port such as {self.EXAMPLE}"
            )  # fmt: skip
            raise ConfigError(f"{self.KEY}: must be {kinds}, or off, not {self.listen!r:.80}")

    @property
    def address(self) -> tuple[str, int] | None:
        """Where to listen, None for no socket."""
        return parse_listen(self.listen, takes_ipv6=self.TAKES_IPV6)


def parse_listen(text: str, *, takes_ipv6: bool = False) -> tuple[str, int] | None:
    """Return address and port of ``ADDRESS:PORT``, an address of IPv6 in brackets; None for anything else."""
    host, _, port = text.rpartition(":")
    if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        return None
    if is_ipv4(host):
        return host, int(port)
    if takes_ipv6 and host.startswith("[") and host.endswith("]") and ":" in host and "%" not in host:
        with suppress(ValueError):
            return canonical(host[1:-1]), int(port)
    return None


def is_loopback(address: str) -> bool:
    """Return whether an address is this machine's alone."""
    return address.startswith("127.") or address == "::1"


def overlap(one: tuple[str, int] | None, other: tuple[str, int] | None) -> bool:
    """Return whether two sockets cannot listen at these addresses at the same time."""
    if one is None or other is None or one[1] != other[1]:
        return False
    return one[0] == other[0] or "::" in (one[0], other[0]) or "0.0.0.0" in (one[0], other[0])
