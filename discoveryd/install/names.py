"""``--dns`` of `install` and `uninstall`: the resolver of this machine asks the daemon for the names of peers, or not.

One file in the directory of the resolver, and ``dns.listen`` in the configuration. The file says in its first line that
it is ours; nothing else of the resolver is touched.
"""

import os
import re
from contextlib import suppress
from select import select
from time import monotonic

from discoveryd.config import parse
from discoveryd.config.dns import DnsSection
from discoveryd.dns import delegation
from discoveryd.dns.delegation import Delegation
from discoveryd.errors import ConfigError
from discoveryd.files import trusted
from discoveryd.install import machine
from discoveryd.install.places import tell
from discoveryd.net.resolve import failure, resolve

LISTEN = DnsSection.EXAMPLE
PATIENCE = 10.0
"""Seconds that a resolver, and a daemon that was just started, may need until a name is found."""

_OFF = re.compile(r'^(dns:(?:[ \t]*\n(?:[ \t]+.*|[ \t]*)|[ \t]*#.*\n)*?\n?[ \t]+listen:[ \t]*)("?off"?)', re.MULTILINE)
_SECTION = f'\n# Names of the peers for resolvers (docs/dns.md).\ndns:\n  listen: "{LISTEN}"\n'


def is_on(content: bytes) -> bool:
    """Return whether a configuration has an address where names are asked for; not if it is wrong."""
    try:
        return parse("configuration", content, {}).dns.address is not None
    except ConfigError:
        return False


def enabled(content: bytes) -> bytes:
    """Return a configuration that serves names at `LISTEN`, and is as it was otherwise.

    Raises:
        ConfigError: it is wrong already, or this cannot be written into it.
    """
    before = parse("configuration", content, {})
    text = content.decode("utf-8-sig")
    made, times = _OFF.subn(rf'\g<1>"{LISTEN}"', text, count=1)
    if not times:
        made = text.rstrip("\n") + "\n" + _SECTION
    try:
        after = parse("configuration", made.encode(), {})
    except ConfigError:
        after = before
    if after.dns.listen != LISTEN:
        raise ConfigError(f'dns.listen is off, and cannot be set here: write dns: {{listen: "{LISTEN}"}}')
    return made.encode()


def enable(path: str, *, is_dry: bool) -> None:
    """Serve names by a configuration file that is there, unless it does.

    Raises:
        OSError: it cannot be read or written.
        ConfigError: it is wrong already, or this cannot be written into it.
    """
    content = trusted.read(path, owners=None)
    if parse(path, content, {}).dns.address is not None:
        return
    made = enabled(content)
    if not is_dry:
        trusted.write(path, made, machine.mode_of(path) & 0o777)
    tell("changed", path, f"dns.listen is {LISTEN}")


def plan(config: DnsSection, root: str) -> Delegation:
    """Return the file by which the resolver asks the daemon of a configuration.

    Raises:
        ValueError: there is no resolver that could; with what to do.
    """
    address = config.address or DnsSection(listen=LISTEN).address
    assert address is not None
    return delegation.delegation(address, config.zone, root=root, run=None if root else machine.said)


def put(wanted: Delegation, root: str, *, is_dry: bool) -> None:
    """Put the file in place of any other of ours, and let the resolver read it.

    Raises:
        OSError: it cannot be written, or is not ours; the resolver cannot be restarted.
    """
    for path in delegation.PATHS:
        if path != wanted.path:
            _remove(path, root, is_dry=is_dry)
    place, before = root + wanted.path, _content(root + wanted.path)
    if before == wanted.content:
        tell("unchanged", place)
        return
    if before is not None and not _is_ours(before):
        helps = f"remove it, or add to it: {_one_line(wanted)}"
        raise OSError(f"{place}: is not ours (its first line would say so); {helps}")
    if not is_dry:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        trusted.write(place, wanted.content)
    tell("made" if before is None else "replaced", place, f"{wanted.resolver} asks discoveryd")
    _reload(wanted.path, root, is_dry=is_dry)


def remove(root: str, *, is_dry: bool) -> None:
    """Take the file away, and let the resolver know.

    Raises:
        OSError: it cannot be removed; the resolver cannot be restarted.
    """
    for path in delegation.PATHS:
        _remove(path, root, is_dry=is_dry)


def find(zone: str) -> str:
    """Return why the resolver of this machine does not find the server of a zone; empty if it does."""
    name, until = f"discoveryd.{zone}", monotonic() + PATIENCE
    while True:
        try:
            resolve(name, ("ipv4", "ipv6"))
        except OSError as error:
            why = failure(error)
        else:
            return ""
        if monotonic() >= until:
            return f"{name} is not found ({why}): see discoveryctl doctor"
        select((), (), (), 0.1)


def _remove(path: str, root: str, *, is_dry: bool) -> None:
    content = _content(root + path)
    if content is None:
        return
    if not _is_ours(content):
        tell("kept", root + path, "it is not ours")
        return
    if not is_dry:
        os.unlink(root + path)
        with suppress(OSError):  # it holds something else, or belongs to a package
            if path in delegation.OF_SYSTEMD:
                os.rmdir(os.path.dirname(root + path))
    tell("removed", root + path)
    _reload(path, root, is_dry=is_dry)


def _content(place: str) -> bytes | None:
    try:
        return trusted.read(place, owners=None)
    except FileNotFoundError:
        return None


def _is_ours(content: bytes) -> bool:
    return content.startswith(delegation.ABOUT.encode())


def _one_line(wanted: Delegation) -> str:
    return "; ".join(line for line in wanted.content.decode().splitlines() if not line.startswith("#"))


def _reload(path: str, root: str, *, is_dry: bool) -> None:
    """Let the resolver read its files again, if it runs here."""
    if root:
        return
    command = delegation.reload_of(path)
    if not is_dry:
        machine.do(*command)
    tell("ran", " ".join(command))
