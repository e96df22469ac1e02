"""The name of this machine, as it is now and fit to be announced."""

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
