"""What is installed, and where: every file with its content, before anything is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeAlias

from discoveryd.daemon.ports import DROP_IN
from discoveryd.files import trusted
from discoveryd.files.shipped import path as shipped

UNIT_DIRECTORY = "/usr/local/lib/systemd/system"
"""Where systemd.unit(5) looks for units that are installed locally: below those of the administrator in /etc."""
CONFIG_DIRECTORY = "/etc/discoveryd"
EXAMPLE = "services.d/ssh.yaml.example"
COMMAND_DIRECTORY = "/usr/local/bin"
COMMANDS = ("discoveryd", "discoveryctl")
SYSCTL = "config/sysctl.d/10-discoveryd.conf"
SYSCTL_DIRECTORY = "/usr/local/lib/sysctl.d"
"""Where sysctl.d(5) looks for what is installed locally; the files of all its directories count by their names."""
_DEFAULT_COMMANDS = "/opt/discoveryd/bin/"
"""What the unit in the repository says, to be replaced by the place of the environment."""

_COMPLETIONS = {
    "bash": "/usr/local/share/bash-completion/completions",
    "zsh": "/usr/local/share/zsh/site-functions",
    "fish": "/usr/local/share/fish/vendor_completions.d",
}
"""Where each shell looks for what was not packaged by the distribution."""

FIREWALLS = (
    ("ufw", "config/ufw/discoveryd", "/etc/ufw/applications.d", "ufw allow discoveryd"),
    (
        "firewalld",
        "config/firewalld/discoveryd.xml",
        "/etc/firewalld/services",
        "firewall-cmd --reload && firewall-cmd --permanent --add-service=discoveryd && firewall-cmd --reload",
    ),
)
"""Name, profile, the directory that the firewall has for profiles, and the command that opens the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file, for all to read.

    Attributes:
        is_kept: whether it stays when all else is removed.
    """

    path: str
    content: bytes
    is_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SymLink:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """An empty directory."""

    path: str


Item: TypeAlias = File | SymLink | Directory


def items(commands: str, root: str = "", *, ports: bytes | None = None) -> list[Item]:
    """Return all there is to install.

    Args:
        commands: directory of the environment's ``discoveryd`` and ``discoveryctl``.
        ports: the drop-in that lets the service bind its ports; None leaves the present one.
        root: where the machine's files are; the firewalls are looked for there. Paths are given without it.
    """
    return [
        File(path=f"{UNIT_DIRECTORY}/discoveryd.service", content=_unit(commands)),
        *([File(path=f"{UNIT_DIRECTORY}/{DROP_IN}", content=ports)] if ports is not None else []),
        File(path=f"{UNIT_DIRECTORY}/discoveryd.socket", content=content_of("systemd/discoveryd.socket")),
        File(path=f"{SYSCTL_DIRECTORY}/{os.path.basename(SYSCTL)}", content=content_of(SYSCTL)),
        File(path=f"{CONFIG_DIRECTORY}/discoveryd.yaml", content=content_of("config/discoveryd.yaml"), is_kept=True),
        Directory(path=f"{CONFIG_DIRECTORY}/hooks.d"),
        File(path=f"{CONFIG_DIRECTORY}/{EXAMPLE}", content=content_of(f"config/{EXAMPLE}")),
        *_links(commands),
        *_manual(),
        *completions(),
        *(
            File(path=f"{directory}/{os.path.basename(profile)}", content=content_of(profile))
            for _, profile, directory, _ in FIREWALLS
            if os.path.isdir(root + directory)
        ),
    ]


def opening(root: str = "") -> list[tuple[str, str]]:
    """Return each firewall that is here, with the command that opens the port in it."""
    return [(name, command) for name, _, directory, command in FIREWALLS if os.path.isdir(root + directory)]


def socket_address() -> str:
    """Return the address of the socket unit."""
    lines = content_of("systemd/discoveryd.socket").decode().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("ListenStream="))


def limits() -> bytes:
    """Return the kernel's limits that are wanted, as the file in sysctl.d has them."""
    return content_of(SYSCTL)


def _unit(commands: str) -> bytes:
    # a blank, a quote or a percent sign in a path would need systemd's quoting: see `environment.obstacles`
    text = content_of("systemd/discoveryd.service").decode()
    return text.replace(f"={_DEFAULT_COMMANDS}", f"={commands}/").encode()


def _links(commands: str) -> list[Item]:
    if os.path.realpath(commands) == os.path.realpath(COMMAND_DIRECTORY):
        return []
    return [SymLink(path=f"{COMMAND_DIRECTORY}/{name}", target=f"{commands}/{name}") for name in COMMANDS]


def _manual() -> list[Item]:
    from discoveryd.cli.manual import pages  # noqa: PLC0415 - made only here

    return [File(path=f"/usr/local/share/man/{name}", content=text.encode()) for name, text in pages().items()]


def completions() -> list[Item]:
    """Return the files with which shells complete the commands."""
    from discoveryd.cli.completion import scripts  # noqa: PLC0415 - made only here

    made: list[Item] = []
    for name, text in scripts().items():
        shell, _, file = name.partition("/")
        made.append(File(path=f"{_COMPLETIONS[shell]}/{file}", content=text.encode()))
    return made


def content_of(name: str) -> bytes:
    """Return the content of a shipped file."""
    return trusted.read(shipped(name), owners=None, follows=True)
