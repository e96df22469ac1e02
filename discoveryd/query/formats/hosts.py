"""Peers for resolvers and for ssh: hosts files, the configuration of ssh, and host keys."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

from discoveryd.query.formats.names import alias, far_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from discoveryd.query.formats.exports import ExportOptions
    from discoveryd.query.formats.names import Listed

BEGIN, END = "# BEGIN discoveryd", "# END discoveryd"
KEY_TAG = "sshhostkey"
"""The tag by which a node announces the public key of its ssh server, in base 64 as in ``ssh_host_ed25519_key.pub``."""
_KEY_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_SSH = 22


def hosts(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return lines of a hosts file between two marks, all names below a domain: none can stand for another machine."""
    return "\n".join((BEGIN, *_lines(found, options), END))


def dnsmasq(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return a file for a directory that dnsmasq watches (``--hostsdir``), with every address of a peer."""
    return "\n".join(_lines(found, options, is_whole=True))


def _lines(found: Sequence[Listed], options: ExportOptions, *, is_whole: bool = False) -> Iterator[str]:
    for one in found:
        addresses = far_addresses(one.peer)
        for address in addresses if is_whole else addresses[:1]:
            yield f"{address} {one.name.lower()}.{options.domain}"


def ssh(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return a block for each peer, for an ``Include`` of ssh.

    A name without a domain is there too, unless it has a dot: ``ssh github.com`` is not for a peer to answer. The host
    key is looked for under the id, which another machine at the same address or of the same name does not have.
    """
    blocks = []
    for one in found:
        if not one.nearby:
            continue
        short = "" if "." in one.name else f"{one.name} "
        lines = [f"Host {short}{one.name}.{options.domain}", f"    HostName {one.nearby.replace('%', '%%')}"]
        lines.append(f"    HostKeyAlias {alias(one.peer)}")
        port = next((service["port"] for service in one.peer["services"] if service["name"] == "ssh"), 0)
        if port not in (0, _SSH):
            lines.append(f"    Port {port}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def known_hosts(found: Sequence[Listed], options: ExportOptions) -> str:
    """Return a line for each peer that seals and announces a host key; with a name, of the peer that goes by it alone.

    What is not sealed anybody can have sent: no key is taken from it.
    """
    lines = []
    for one in found:
        key = _host_key(one)
        names = dict.fromkeys((alias(one.peer), f"{one.name}.{options.domain}"))
        if key and (not options.host or options.host in (*names, one.name, one.nearby)):
            lines.append(f"{','.join(names)} {key}")
    return "\n".join(lines)


def _host_key(one: Listed) -> str:
    """Return the kind of the key that a peer announces, and the key; empty without one that is well formed."""
    peer: Mapping[str, Any] = one.peer
    if not (peer["key"] or one.is_self):
        return ""
    kind, _, text = str(peer["tags"].get(KEY_TAG, "")).rpartition(" ")
    try:
        blob = b64decode(text, validate=True)
    except ValueError:
        return ""
    length = int.from_bytes(blob[:4], "big")
    inner = blob[4 : 4 + length].decode("ascii", "replace")
    return f"{inner} {text}" if inner in _KEY_KINDS and kind in ("", inner) and len(blob) > 4 + length else ""
