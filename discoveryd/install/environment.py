"""A copy of this environment where the service can reach it.

``uv tool`` and ``pipx`` put the environments of root's programs below /root, which the sandbox of the service hides.
The copy needs no package index: it has the very files of this environment, and the same Python below it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import ExitStack

from discoveryd.files.directories import PACKAGE
from discoveryd.install import machine

PLACE = "/opt/discoveryd"
COMMANDS = ("discoveryd", "discoveryctl")
_MARK = "copied-by-discoveryd-install"
"""A file in the copy: what has none is not replaced."""
_SYSTEM = "Make the environment with the system's: uv tool install --python /usr/bin/python3, or pipx install --python"


def origin() -> str:
    """Return the environment that would be copied.

    Raises:
        OSError: it cannot be copied; with the reason, and what to do.
    """
    python = os.path.realpath(sys.executable)
    reason = ""
    if sys.prefix == PLACE:
        reason = f"this is the copy in {PLACE} itself: run the discoveryd of the new environment with install --copy"
    elif sys.prefix == sys.base_prefix:
        reason = f"{sys.executable} is no environment of its own, which could be copied: python3 -m venv {PLACE}"
    elif os.path.dirname(PACKAGE) != sysconfig.get_path("purelib"):
        reason = f"an editable installation cannot be copied, its files are in {PACKAGE}: install without --editable"
    elif obstacle := machine.obstacle(python) or machine.intruder(python):
        reason = f"the Python of this environment cannot be used either: {obstacle}. {_SYSTEM}"
    elif os.path.lexists(PLACE) and not os.path.exists(f"{PLACE}/{_MARK}"):
        reason = f"{PLACE} is there already, and no copy of this command: upgrade it with its own pip, or remove it"
    if reason:
        raise OSError(reason)
    return sys.prefix


def copy() -> None:
    """Put a copy of this environment in its place, instead of an earlier copy.

    Raises:
        OSError: it cannot be copied, see `origin`, or written; an earlier copy is still there then.
    """
    source, former = origin(), f"{PLACE}.old"
    shutil.rmtree(former, ignore_errors=True)
    if os.path.exists(PLACE):
        os.rename(PLACE, former)
    with ExitStack() as undo:
        undo.callback(_put_back, former)
        _make(source)
        undo.pop_all()
    shutil.rmtree(former, ignore_errors=True)


def _put_back(former: str) -> None:
    """Replace what is at the place by the copy that was there before, if there was one."""
    shutil.rmtree(PLACE, ignore_errors=True)
    if os.path.exists(former):
        os.rename(former, PLACE)


def _make(source: str) -> None:
    """Make the environment at its place: its scripts and links name that place."""
    packages = os.path.relpath(sysconfig.get_path("purelib"), source)
    umask = os.umask(0o022)
    try:
        os.makedirs(f"{PLACE}/bin")
        with open(f"{PLACE}/{_MARK}", "w", encoding="ascii"):
            pass
        os.symlink(os.path.realpath(sys.executable), f"{PLACE}/bin/python3")
        shutil.copyfile(f"{source}/pyvenv.cfg", f"{PLACE}/pyvenv.cfg")
        shutil.copytree(f"{source}/{packages}", f"{PLACE}/{packages}")
        shutil.copytree(f"{source}/share", f"{PLACE}/share")
        for name in COMMANDS:
            with open(f"{source}/bin/{name}", encoding="utf-8") as file:
                body = file.read().partition("\n")[2]
            with open(f"{PLACE}/bin/{name}", "w", encoding="utf-8") as file:
                file.write(f"#!{PLACE}/bin/python3\n{body}")
            os.chmod(f"{PLACE}/bin/{name}", 0o755)  # noqa: S103 - a command
        _open_to_readers(PLACE)
        # the service may not write there; without -I a variable of root's could have it put elsewhere
        compiling = [f"{PLACE}/bin/python3", "-IS", "-m", "compileall", "-qq", f"{PLACE}/{packages}"]
        subprocess.run(compiling, check=False)  # noqa: S603
    finally:
        os.umask(umask)


def _open_to_readers(directory: str) -> None:
    """Let everybody read what root's umask kept for root, and nobody else write."""
    for place, _, names in os.walk(directory):
        for path in (place, *(os.path.join(place, name) for name in names)):
            if not os.path.islink(path):
                mode = os.stat(path).st_mode & 0o755
                os.chmod(path, mode | (0o055 if mode & 0o100 else 0o044))
