"""The places of the files that ship with the package: the sample configuration, units, firewall profiles."""

from __future__ import annotations

import os
import sys

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def path(name: str) -> str:
    """Return the path of a shipped file or directory, given its name in the repository, ``config/discoveryd.yaml``.

    A checkout serves its own files. A wheel has put them under ``share/discoveryd`` of the prefix it was
    installed to, which is ``sys.prefix`` in a virtual environment, but not for ``pip install --user``, nor for the
    system's Python on Debian: there the package's own place tells it.

    Raises:
        FileNotFoundError: there is no such file; with the places that were searched.
    """
    tried = [os.path.join(root, name) for root in _roots()]
    for candidate in tried:
        if os.path.exists(candidate):
            return candidate
    raise FileNotFoundError(
        f"{name} of discoveryd is missing, looked for at {', '.join(tried)}; install the package again, whole"
    )


def _roots() -> list[str]:
    checkout = os.path.dirname(PACKAGE)
    prefix = os.path.abspath(os.path.join(PACKAGE, *[os.pardir] * 4))  # of PREFIX/lib/python3.x/site-packages/…
    roots = [checkout] if os.path.exists(os.path.join(checkout, "pyproject.toml")) else []
    shares = [os.path.join(base, "share", "discoveryd") for base in (prefix, sys.prefix)]
    return [*roots, *dict.fromkeys(shares)]
