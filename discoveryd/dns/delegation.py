"""The resolver of the machine, and the file that lets it ask the daemon for the names of peers.

It goes to the daemon for one domain only: what it has for all other names stays as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from discoveryd.files import trusted

DELEGATE = "/etc/systemd/dns-delegate.d/discoveryd.dns-delegate"
RESOLVED = "/etc/systemd/resolved.conf.d/discoveryd.conf"
DNSMASQ = "/etc/dnsmasq.d/discoveryd.conf"
NETWORK_MANAGER = "/etc/NetworkManager/dnsmasq.d/discoveryd.conf"
OF_SYSTEMD = (DELEGATE, RESOLVED)
PATHS = (DELEGATE, RESOLVED, DNSMASQ, NETWORK_MANAGER)
"""Those for systemd-resolved, and all files that `delegation` may choose, at most one of them is there."""
WITH_DELEGATES, WITH_PORTS = 258, 246
"""Versions of systemd from which systemd-resolved has delegates, and takes a port with an address."""

ABOUT = "# Written by `discoveryd install --dns`: names of peers are asked for at discoveryd. `uninstall` removes it."
"""The first line of such a file."""

_EVERYWHERE = ("0.0.0.0", "::")
_RELOADS = {
    DELEGATE: ("systemctl", "restart", "systemd-resolved"), RESOLVED: ("systemctl", "restart", "systemd-resolved"),
    DNSMASQ: ("systemctl", "restart", "dnsmasq"), NETWORK_MANAGER: ("nmcli", "general", "reload", "dns-full"),
}  # fmt: skip
_NAMES = {
    DELEGATE: "systemd-resolved", RESOLVED: "systemd-resolved", DNSMASQ: "dnsmasq",
    NETWORK_MANAGER: "the dnsmasq of NetworkManager",
}  # fmt: skip
_NONE = (
    "no resolver runs here that could ask it: install systemd-resolved (apt install systemd-resolved libnss-resolve) "
    "or dnsmasq, or use the export `hosts` (docs/exports.md); docs/dns.md has the lines for other resolvers"
)

Run = Callable[..., str]
"""Runs a command, and returns what it printed; nothing where it failed."""


class Delegation(NamedTuple):
    """A file by which the resolver of this machine asks the daemon.

    Attributes:
        path: where it belongs.
        content: what it says.
    """

    path: str
    content: bytes

    @property
    def resolver(self) -> str:
        """The program that reads it."""
        return _NAMES[self.path]


def delegation(address: tuple[str, int], zone: str, *, root: str, run: Run | None) -> Delegation:
    """Return the file that fits this machine.

    Args:
        address: where the daemon is asked.
        zone: the domain.
        root: where the files of the machine are.
        run: runs a command; None where the machine does not run, as for an image.

    Raises:
        ValueError: there is no such resolver, or it cannot be told to ask for one domain; with what to do.
    """
    path = next(_fitting(root, run), "")
    if not path:
        raise ValueError(_NONE)
    if path == RESOLVED and run is not None:
        _need_links(run("resolvectl", "dns"), run("resolvectl", "status"), at=_with_port(address))
    return Delegation(path, "\n".join([ABOUT, *_lines(path, address, zone), ""]).encode())


def reload_of(path: str) -> tuple[str, ...]:
    """Return the command after which a resolver knows that the file has changed."""
    return _RELOADS[path]


def written(root: str = "") -> str:
    """Return the path of the file that is there, empty without any."""
    return next((path for path in PATHS if os.path.exists(root + path)), "")


def _fitting(root: str, run: Run | None) -> Iterator[str]:
    """Yield the files that resolvers of this machine read, the one that programs ask first."""
    version = _version(root, run)
    if _is_there("systemd-resolved", f"{root}/usr/lib/systemd/systemd-resolved", run) and version >= WITH_PORTS:
        yield DELEGATE if version >= WITH_DELEGATES else RESOLVED
    if _is_there("dnsmasq", f"{root}/etc/dnsmasq.d", run):
        yield DNSMASQ
    if _is_there("NetworkManager", f"{root}/etc/NetworkManager", run) and _uses_dnsmasq(root):
        yield NETWORK_MANAGER


def _is_there(unit: str, path: str, run: Run | None) -> bool:
    """Return whether a service runs; for an image, whether it is installed."""
    return os.path.exists(path) if run is None else run("systemctl", "is-active", unit).strip() == "active"


def _version(root: str, run: Run | None) -> int:
    if run is not None:
        found = re.match(r"systemd (\d+)", run("systemctl", "--version"))
        return int(found[1]) if found else 0
    names = [name for _, _, names in os.walk(f"{root}/usr/lib") for name in names]
    numbers = [int(found[1]) for name in names if (found := re.match(r"libsystemd-shared-(\d+)", name))]
    return max(numbers, default=0)


def _uses_dnsmasq(root: str) -> bool:
    directory = f"{root}/etc/NetworkManager"
    paths = [f"{directory}/NetworkManager.conf"]
    with suppress(OSError):
        paths += [f"{directory}/conf.d/{name}" for name in sorted(os.listdir(f"{directory}/conf.d"))]
    for path in paths:
        with suppress(OSError):
            if re.search(r"^\s*dns\s*=\s*dnsmasq\s*$", trusted.read_text(path), re.MULTILINE):
                return True
    return False


def _need_links(servers: str, status: str, *, at: str) -> None:
    """Refuse a systemd-resolved that would ask the daemon, and the servers there are, in turns.

    Servers of links are asked beside it. Those of all links (DNS= of resolved.conf, or the built-in ones where there is
    no other) are one list with it: one of them is asked at a time, for whatever name.

    Raises:
        ValueError: with what to do.
    """
    lines = dict(re.findall(r"^(Global|Link \d+ \([^)]*\)): *(.*)$", servers, re.MULTILINE))
    common = [one for one in lines.pop("Global", "").split() if one != at]
    spare = re.search(r"^\s*Fallback DNS Servers: *(\S.*)$", status, re.MULTILINE)
    if common:
        why = f"servers for all links ({' '.join(common)})"
    elif spare and not any(lines.values()):
        why = f"no servers but its built-in ones ({spare[1].strip()})"
    else:
        return
    helps = "give the servers to the link, as the settings of the network or resolvectl dns LINK SERVER do"
    raise ValueError(
        f"systemd-resolved has {why}, and would ask discoveryd in their place: {helps}, or use systemd "
        f"{WITH_DELEGATES}, dnsmasq, or an export"
    )


def _lines(path: str, address: tuple[str, int], zone: str) -> list[str]:
    host, port = _reachable(address)
    if path == DELEGATE:
        return ["[Delegate]", f"DNS={_with_port(address)}", f"Domains={zone}"]
    if path == RESOLVED:
        return ["[Resolve]", f"DNS={_with_port(address)}", f"Domains=~{zone}"]
    # peers have addresses of private networks, which a guard against DNS rebinding would not let pass
    return [f"server=/{zone}/{host}#{port}", f"rebind-domain-ok=/{zone}/"]


def _reachable(address: tuple[str, int]) -> tuple[str, int]:
    """Return where this machine itself asks."""
    return ("127.0.0.1" if address[0] in _EVERYWHERE else address[0]), address[1]


def _with_port(address: tuple[str, int]) -> str:
    host, port = _reachable(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
