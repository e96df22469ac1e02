"""Completion for bash, zsh and fish, made of the command lines when it is asked for.

What a peer says of itself is not to be trusted, and a shell runs what it is given: names go into a command
line quoted, and never through anything that expands them.
"""

from __future__ import annotations

import sys
from argparse import Namespace

from discoveryd.cli import programs
from discoveryd.cli.completion import bash, fish, zsh
from discoveryd.daemon import OK

_FILES = {
    "bash": (bash.script, "bash/{}"),
    "zsh": (zsh.script, "zsh/_{}"),
    "fish": (fish.script, "fish/{}.fish"),
}
"""Per shell: what writes a script, and what a shell that looks for it wants it to be called."""


def main(arguments: Namespace) -> int:
    """Print what a shell may read at its start."""
    sys.stdout.write("\n".join(text for name, text in scripts().items() if name.startswith(f"{arguments.shell}/")))
    return OK


def scripts() -> dict[str, str]:
    """Give the scripts by shell and file name, such as ``zsh/_discoveryctl``."""
    both = (programs.discoveryd(), programs.discoveryctl())
    return {
        name.format(program.name): script(program) for script, name in _FILES.values() for program in both
    }
