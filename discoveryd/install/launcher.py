"""The ``discoveryctl`` that a machine gets: a script that starts Python without what no answer needs."""

import os
import sys
import sysconfig

import discoveryd

PATH = "/usr/local/share/discoveryd/discoveryctl"

_SCRIPT = """\
#!{python} -IS
# Made by `discoveryd install`. Python starts without `site`, and ends without a clean-up: `main` flushed the output.
import os
import sys

sys.path.append({packages!r}.format(*sys.version_info))
try:
    from discoveryd.ctl import main
except ImportError:  # the package is elsewhere now, and its own script knows where
    os.execv({command!r}, ["discoveryctl", *sys.argv[1:]])
os._exit(main())
"""


def launcher(commands: str) -> bytes:
    """Return the script.

    Args:
        commands: directory of the environment's ``discoveryctl``.
    """
    directory, name = os.path.split(sys.executable)
    # a link that stays when the environment is made anew by a later Python
    python = os.path.join(directory, "python3")
    found = os.path.dirname(os.path.dirname(os.path.abspath(discoveryd.__file__)))
    packages = found.replace("{", "{{").replace("}", "}}")
    if found == sysconfig.get_path("purelib"):
        packages = packages.replace(f"python{sys.version_info[0]}.{sys.version_info[1]}", "python{}.{}")
    return _SCRIPT.format(
        python=python if os.path.exists(python) else os.path.join(directory, name),
        packages=packages, command=os.path.join(commands, "discoveryctl"),
    ).encode()  # fmt: skip
