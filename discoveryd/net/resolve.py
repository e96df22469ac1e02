"""The addresses that a host name has, as the resolver of this machine tells (``/etc/hosts``, DNS, mDNS)."""

import socket
from collections.abc import Sequence

_CODES = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}


_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def resolve(name: str, families: Sequence[str] = ("ipv4",)) -> tuple[str, ...]:
    """Return the addresses of a name, in the order of the resolver. May wait for as long as the resolver does.

    Args:
        name: of a host.
        families: of the addresses wanted.

    Raises:
        OSError: there is none, or nobody knows; `failure` says it in words.
    """
    family = _FAMILIES[families[0]] if len(families) == 1 else socket.AF_UNSPEC
    found = socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def failure(error: OSError) -> str:
    """Return an error of `resolve` as ``EAI_NONAME: Name or service not known``."""
    code = _CODES.get(error.errno or 0) if isinstance(error, socket.gaierror) else None
    text = error.strerror or str(error)
    return f"{code}: {text}" if code else text
