"""Completion for bash, zsh and fish, made from the command tables when it is asked for.

Values that come from peers cannot be trusted, and a shell runs what it is given: such values go into a command line
quoted, and never through anything that expands them.
"""

from __future__ import annotations

import sys

from discoveryd.cli import ctl_commands, daemon_commands
from discoveryd.cli.completion import bash, fish, zsh
from discoveryd.cli.parse import Arguments

_SHELLS = {"bash": (bash, "bash/{}"), "zsh": (zsh, "zsh/_{}"), "fish": (fish, "fish/{}.fish")}
"""The module that makes the script of each shell, and the file name that the shell looks for."""


def main(arguments: Arguments) -> int:
    """Print what a shell may read at its start."""
    sys.stdout.write("\n".join(text for name, text in scripts().items() if name.startswith(f"{arguments.shell}/")))
    return 0


def scripts() -> dict[str, str]:
    """Return the scripts by shell and file name, such as ``zsh/_discoveryctl``."""
    found = {}
    for shell, name in _SHELLS.values():
        for program in (daemon_commands.PROGRAM, ctl_commands.PROGRAM):
            text = shell.FRAME.replace("NAME", program.name)
            for mark, part in shell.parts(program).items():
                text = text.replace(f"@{mark}@", part)
            found[name.format(program.name)] = text
    return found
