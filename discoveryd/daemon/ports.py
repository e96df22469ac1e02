"""The ports of the service: what the configuration wants to listen on, and what the unit lets it bind.

The unit denies every port but those of a default configuration (SocketBindDeny=, systemd.resource-control(5)), so that
a daemon or hook that was taken over opens no other. ``discoveryd install`` writes the ports of the configuration
into a drop-in beside it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from discoveryd.config import DEFAULT_PATH, NO_FILE, Config
from discoveryd.config.durations import shown
from discoveryd.errors import ConfigError
from discoveryd.files import trusted

SERVICE = "discoveryd.service"
DROP_IN = f"{SERVICE}.d/ports.conf"
_ALLOW, _DENY = "SocketBindAllow", "SocketBindDeny"
DIRECTORIES = tuple(
    f"{base}/systemd/system" for base in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
)
"""Where systemd.unit(5) looks for units, first come first served."""
HELPS = "run discoveryd install, which writes the ports of the configuration beside the unit, then restart discoveryd"


class Port(NamedTuple):
    """A port to listen on, and its key."""

    key: str
    proto: str
    number: int


def ports(config: Config) -> list[Port]:
    """Return the ports that a configuration listens on."""
    addresses = {key: getattr(config, key).address for key in ("query", "metrics", "web")}
    streams = [Port(f"{key}.listen", "tcp", address[1]) for key, address in addresses.items() if address is not None]
    names = [] if config.dns.address is None else [
        Port("dns.listen", proto, config.dns.address[1]) for proto in ("udp", "tcp")
    ]  # fmt: skip
    return [Port("hello.port", "udp", config.parameters.port), *streams, *names]


def drop_in(config: Config) -> bytes:
    """Return the drop-in that lets the service bind the ports of a configuration, and no other."""
    rules = dict.fromkeys(f"SocketBindAllow={port.proto}:{port.number}" for port in ports(config))
    about = "# Written by `discoveryd install`: what the configuration listens on. After a change there run it again."
    return "\n".join([about, "[Service]", "SocketBindAllow=", *rules, ""]).encode()


def refuse_forbidden(config: Config, root: str = "") -> None:
    """Refuse a configuration of the service that listens on a port which its unit forbids.

    A configuration of another daemon, `--config trial.yaml`, has nothing to do with the unit.

    Args:
        config: the configuration.
        root: directory under which the files of the machine are.

    Raises:
        ConfigError: with each key, and what to do.
    """
    if config.source not in (DEFAULT_PATH, NO_FILE) and not is_service():
        return
    rules = _rules(root)
    problems = []
    for port in ports(config):
        allowed, denied = (any(_covers(rule, port) for rule in rules[key]) for key in (_ALLOW, _DENY))
        if denied and not allowed:
            here = f"{port.proto} port {port.number}"
            why = f"{port.key}: the unit of the service forbids it {here} (SocketBindDeny=)"
            problems.append(f"{shown(config.source)}: {why}: as root {HELPS}")
    if problems:
        raise ConfigError(*problems)


def is_service() -> bool:
    """Return whether this process runs in the unit."""
    with suppress(OSError):
        return f"/{SERVICE}" in trusted.read_text("/proc/self/cgroup")
    return False


def _rules(root: str) -> dict[str, list[str]]:
    """Return the rules of unit and drop-ins, those that allow and those that deny."""
    found: dict[str, list[str]] = {_ALLOW: [], _DENY: []}
    for path in _files(root):
        with suppress(OSError):
            for line in trusted.read_text(path).splitlines():
                key, equals, value = (part.strip() for part in line.partition("="))
                if equals and key in found:
                    found[key] = [*found[key], *value.split()] if value else []
    return found


def _files(root: str) -> Iterator[str]:
    """Yield the paths of the unit and its drop-ins in the order in which systemd reads them."""
    units = [path for base in DIRECTORIES if os.path.exists(path := f"{root}{base}/{SERVICE}")]
    yield from units[:1]
    names: dict[str, str] = {}
    for base in reversed(DIRECTORIES) if units else ():
        directory = f"{root}{base}/{SERVICE}.d"
        if os.path.isdir(directory):
            names |= {name: f"{directory}/{name}" for name in os.listdir(directory) if name.endswith(".conf")}
    yield from (names[name] for name in sorted(names))


def _covers(rule: str, port: Port) -> bool:
    """Return whether ``[FAMILY:][PROTOCOL:]PORTS`` covers a port of IPv4; what cannot be read covers none."""
    *words, last = rule.split(":")
    if last in ("tcp", "udp", "ipv4", "ipv6"):  # all ports of it
        words, last = [*words, last], "any"
    if "ipv6" in words or ({"tcp", "udp"} & set(words)) - {port.proto}:
        return False
    bounds = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", "0-65535" if last == "any" else last)
    return bounds is not None and int(bounds[1]) <= port.number <= int(bounds[2] or bounds[1])
