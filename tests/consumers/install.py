"""Makes the Python environments that the tests of this folder need: ``python tests/consumers/install.py``.

They are kept in $DISCOVERYD_CONSUMERS, else in a folder of the user's cache. Prometheus, dnsmasq, dig, ssh and Chromium
are packages of the system: ``apt-get install prometheus dnsmasq-base bind9-dnsutils openssh-client chromium``.
"""

import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
HOME = Path(os.environ.get("DISCOVERYD_CONSUMERS") or CACHE / "discoveryd-consumers")
OLDER = "2.14" if sys.version_info < (3, 12) else "2.18"
"""That of Debian 12; it knows no newer Python."""
ENVIRONMENTS = {
    "ansible-older": (f"ansible-core=={OLDER}.*",),
    "ansible-newer": ("ansible-core==2.19.*",),  # that of Debian 13, whose templates are other ones
    "services": ("gunicorn", "aiohttp"),
    "browser": ("playwright", "axe-playwright-python"),
}


def install() -> None:
    """Make each environment that is not there yet."""
    for name, packages in ENVIRONMENTS.items():
        directory = HOME / name
        if (directory / "ready").exists():
            continue
        print(f"+ {directory}: {' '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        subprocess.run([directory / "bin/pip", "install", "-q", *packages], check=True)
        (directory / "ready").touch()


if __name__ == "__main__":
    install()
