"""Hosts with a key and a configuration that is changed by reloads."""

import re
import select
import signal
import time

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.netns.daemons import PATIENCE

OLD, NEW = Key(b"\1" * 32), Key(b"\2" * 32)
SUBNET = "10.77.0"
CONFIG = """\
node:
  tags: {tags}
hello:
  families: [{families}]
security:
  mode: "{mode}"
  keys: [{keys}]
  send_with: "{send_with}"
"""


class Member:
    """A host of the fleet, its daemon and what that is told."""

    def __init__(self, lab, number, **more):
        self.name = f"n{number}"
        self.host = lab.host(self.name, address=f"{SUBNET}.{number}/24", **more)
        self.directory = lab.directory / f"{self.name}-config"
        self.directory.mkdir()
        for key in (OLD, NEW):
            write_key(str(self.directory / f"{key.id}.key"), key)
        self.process = None

    def write(self, mode, *keys, send_with=None, tags="{}", families=("ipv4", "ipv6")):
        names = ", ".join(f'"{key.id}.key"' for key in keys)
        said = CONFIG.format(mode=mode, keys=names, send_with=send_with.id if send_with else "", tags=tags, families=", ".join(families))
        (self.directory / "discoveryd.yaml").write_text(said)

    def start(self):
        self.process = self.host.discoveryd("--config", str(self.directory / "discoveryd.yaml"))

    def reload(self):
        before = self.host.log().count("configuration reloaded")
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while self.host.log().count("configuration reloaded") == before:
            assert time.monotonic() < deadline, self.host.log()
            select.select([], [], [], 0.01)

    def lost(self):
        """Give who was down or left, by its log."""
        return re.findall(r"peer (?:down|left).*?peer=(\S+)", self.host.log())
