"""Addresses of TCP sockets: checked, and as text."""

from discoveryd.errors import ConfigError


def check_address(key: str, address: object, *, least: int = 1) -> None:
    """Check that this is a host and a port; port 0, where `least` allows it, means any free port.

    Raises:
        ConfigError: with `key`, the value and what is wanted.
    """
    if isinstance(address, (tuple, list)) and len(address) == 2:
        host, port = address
        if isinstance(host, str) and host and type(port) is int and least <= port <= 65535:
            return
    wanted = f'must be a host and a port of {least} to 65535 such as ("127.0.0.1", 3400)'
    raise ConfigError(f"{key}: {wanted}, not {address!r:.80}")


def format_address(address: tuple[str, int]) -> str:
    """Return host and port as text, an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_address(text: str) -> bool:
    """Return whether a text is an IPv4 address."""
    parts = text.split(".")
    return len(parts) == 4 and all(
        part.isascii() and part.isdecimal() and len(part) < 4 and int(part) < 256 for part in parts
    )
