"""What this machine is: its name, as it is now and fit to be announced, and what manages its firewall."""

import os

from discoveryd.protocol.wire.record import MAX_NAME

NAMELESS = "localhost"
"""The name of a machine without one; a record needs a name."""
_SHARED = ("localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6")


def machine_name() -> tuple[str, str]:
    """Return the name of this machine, and what is wrong with it, empty if nothing is.

    The kernel takes any bytes: what cannot stand in a record is replaced by ``-``.
    """
    found = os.uname().nodename
    name = "".join(one if one.isprintable() else "-" for one in found)[:MAX_NAME]
    if not name.strip("- .") or name == "(none)":
        return NAMELESS, f"the machine has no name: it is announced as {NAMELESS}; set its name or node.name"
    if name in _SHARED:
        return name, f"the machine is called {name}, as many are; set its name or node.name"
    if name != found:
        return name, f"the machine's name {found!a} cannot be announced as it is; set it or node.name"
    return name, ""


_FIREWALLD = (
    "sys/fs/cgroup/system.slice/firewalld.service",
    "sys/fs/cgroup/systemd/system.slice/firewalld.service",  # the first version of control groups
    "run/firewalld.pid",  # without systemd, whose unit says --nopid
)
"""Signs that firewalld runs."""


def firewalls(root: str = "/") -> list[str]:
    """Return the tools by which the firewall of this machine is changed, the one that manages it first."""
    found = []
    if _holds(os.path.join(root, "etc/ufw/ufw.conf"), "ENABLED=yes"):
        found.append("ufw")
    if any(os.path.exists(os.path.join(root, sign)) for sign in _FIREWALLD):
        found.append("firewalld")
    places = [os.path.join(root, place) for place in ("usr/sbin", "sbin")]
    for tool in ("nft", "iptables"):
        found += [tool] if any(os.path.exists(os.path.join(place, tool)) for place in places) else []
    return found


def _holds(path: str, text: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return text in file.read()
    except OSError:
        return False
