"""The settings of the sysctl.d file, in force from now on: the file itself is read at the next boot only."""

from __future__ import annotations

import os

PROC = "/proc/sys"


def raised(content: bytes, *, is_dry: bool) -> list[tuple[str, int, int]]:
    """Raise each limit that is lower than a file in the form of sysctl.d(5) says; lower none.

    Returns:
        name, value before and value now of each that was raised.

    Raises:
        OSError: the kernel has no such limit, or it may not be set here, as in a container; with the path.
    """
    done = []
    for line in content.decode().splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = (part.strip() for part in line.partition("="))
        path = os.path.join(PROC, *name.split("."))
        with open(path, encoding="ascii") as file:
            found = int(file.read())
        if found >= int(value):
            continue
        if not is_dry:
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{value}\n")
        done.append((name, found, int(value)))
    return done
