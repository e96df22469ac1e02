"""A daemon that a package of the distribution installed, and what is left for ``discoveryd install`` to do then.

The package has put unit, commands, manual pages and the rest in the places of the distribution. Left is what depends on
the machine: a configuration that is not there yet, the ports that it listens on, and what an environment's
``discoveryd install`` has left, which would hide unit and commands of the package.
"""

import os

from discoveryd.config import Config
from discoveryd.daemon.ports import DROP_IN, drop_in
from discoveryd.files.directories import PACKAGE
from discoveryd.install.places import COMMAND_DIRECTORY, Entry, Item, configuration

MANIFEST = "/var/lib/misc/discoveryd.json"
"""What was put here, as that of an environment is in `discoveryd.install.places.PATH`: not a package's place."""
COMMANDS = "/usr/bin"
UNIT = "/usr/lib/systemd/system/discoveryd.service"
"""Made by the package."""
UNIT_DIRECTORY = "/etc/systemd/system"
_LIBRARIES = ("/usr/lib/", "/usr/lib64/")
"""Where distributions put Python packages; pip leaves them alone, and puts its own below /usr/local."""

REMOVE = (
    "a package of the distribution installed discoveryd: apt remove discoveryd removes it, "
    "and apt purge discoveryd its configuration, keys and state too"
)


def is_packaged() -> bool:
    """Return whether this program came with a package of the distribution."""
    return PACKAGE.startswith(_LIBRARIES) and os.path.exists(UNIT)


def need_no_package(root: str) -> None:
    """Refuse to install an environment's daemon beside that of a package.

    Raises:
        OSError: the package is installed.
    """
    if os.path.exists(root + UNIT):
        raise OSError(f"a package of the distribution installed {UNIT}: apt remove discoveryd makes room for this one")


def items(ports: bytes | None, config: bytes | None = None) -> list[Item]:
    """Return what a package leaves to install.

    Args:
        ports: the drop-in that lets the service bind its ports; None leaves the present one.
        config: the configuration, where it is not the one that is shipped.
    """
    found = configuration(config)
    if ports is not None and ports != drop_in(Config()):  # the unit itself allows the ports of a default configuration
        found.append(Item(f"{UNIT_DIRECTORY}/{DROP_IN}", ports))
    return found


def environment_of(former: dict[str, Entry]) -> str:
    """Return the environment whose daemon was installed before, given its manifest; empty if it had no links."""
    command = former.get(f"{COMMAND_DIRECTORY}/discoveryd")
    return os.path.dirname(os.path.dirname(command.mark)) if command else ""
