"""What is installed, and where: every file with its content, before anything is written."""

from __future__ import annotations

import os
from typing import NamedTuple

from discoveryd.daemon.ports import DROP_IN
from discoveryd.files import trusted
from discoveryd.files.directories import shipped

UNIT_DIRECTORY = "/usr/local/lib/systemd/system"
"""Where systemd.unit(5) looks for units that are installed locally: below those of the administrator in /etc."""
CONFIG_DIRECTORY = "/etc/discoveryd"
EXAMPLE = "services.d/ssh.yaml.example"
COMMAND_DIRECTORY = "/usr/local/bin"
COMMANDS = ("discoveryd", "discoveryctl")
SYSCTL = "sysctl.d/10-discoveryd.conf"
"""Installed below /usr/local/lib, where sysctl.d(5) looks; the files of all its directories count by their names."""
_DEFAULT_COMMANDS = b"=/opt/discoveryd/bin/"
"""What the unit in the repository says, to be replaced by the place of the environment."""

_COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions",
    "zsh": "/usr/local/share/zsh/site-functions",
    "fish": "/usr/local/share/fish/vendor_completions.d",
}
"""Where each shell looks for what was not packaged by the distribution."""

_FIREWALLS = (
    ("ufw", "ufw/discoveryd", "/etc/ufw/applications.d", "ufw allow discoveryd"),
    (
        "firewalld",
        "firewalld/discoveryd.xml",
        "/etc/firewalld/services",
        "firewall-cmd --reload && firewall-cmd --permanent --add-service=discoveryd && firewall-cmd --reload",
    ),
)
"""Name, profile, the directory that the firewall has for profiles, and the command that opens the port."""


class Item(NamedTuple):
    """A path to install.

    Attributes:
        path: without the root.
        content: of a file; as a text, the target of a symbolic link; None for a directory.
        is_kept: whether it stays when all else is removed.
    """

    path: str
    content: bytes | str | None = None
    is_kept: bool = False


def items(commands: str, root: str = "", *, ports: bytes | None = None) -> list[Item]:
    """Return all there is to install.

    Args:
        commands: directory of the environment's ``discoveryd`` and ``discoveryctl``.
        ports: the drop-in that lets the service bind its ports; None leaves the present one.
        root: where the machine's files are; the firewalls are looked for there. Paths are given without it.
    """
    from discoveryd.cli.completion import scripts  # noqa: PLC0415 - made only here
    from discoveryd.cli.manual import pages  # noqa: PLC0415 - made only here

    # a blank, a quote or a percent sign in a path would need systemd's quoting: see `machine.obstacles`
    unit = content_of("systemd/discoveryd.service").replace(_DEFAULT_COMMANDS, f"={commands}/".encode())
    found = [
        Item(f"{UNIT_DIRECTORY}/discoveryd.service", unit),
        *([Item(f"{UNIT_DIRECTORY}/{DROP_IN}", ports)] if ports is not None else []),
        Item(f"{UNIT_DIRECTORY}/discoveryd.socket", content_of("systemd/discoveryd.socket")),
        Item(f"/usr/local/lib/{SYSCTL}", content_of(f"config/{SYSCTL}")),
        Item(f"{CONFIG_DIRECTORY}/discoveryd.yaml", content_of("config/discoveryd.yaml"), is_kept=True),
        Item(f"{CONFIG_DIRECTORY}/hooks.d"),
        Item(f"{CONFIG_DIRECTORY}/{EXAMPLE}", content_of(f"config/{EXAMPLE}")),
    ]
    if os.path.realpath(commands) != os.path.realpath(COMMAND_DIRECTORY):
        found += [Item(f"{COMMAND_DIRECTORY}/{name}", f"{commands}/{name}") for name in COMMANDS]
    found += [Item(f"/usr/local/share/man/{name}", text.encode()) for name, text in pages().items()]
    for name, text in scripts().items():
        shell, _, file = name.partition("/")
        found.append(Item(f"{_COMPLETIONS[shell]}/{file}", text.encode()))
    for _, profile, directory, _ in firewalls(root):
        found.append(Item(f"{directory}/{os.path.basename(profile)}", content_of(f"config/{profile}")))
    return found


def firewalls(root: str) -> list[tuple[str, str, str, str]]:
    """Return each firewall that is here: name, profile, directory, and the command that opens the port in it."""
    return [firewall for firewall in _FIREWALLS if os.path.isdir(root + firewall[2])]


def socket_address() -> str:
    """Return the address of the socket unit."""
    lines = content_of("systemd/discoveryd.socket").decode().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ListenStream="))


def content_of(name: str) -> bytes:
    """Return the content of a shipped file."""
    return trusted.read(shipped(name), owners=None, follows=True)
