"""The ready configurations of config/nats, filled in for a test: one server, or a hub with a leaf node for each site."""

import os
from pathlib import Path

import nkeys

from tests.consumers.nats_server import NatsServer, free_port

CONFIG = Path(__file__).parents[2] / "config/nats"
SITES = ("berlin", "paris", "tokyo")


def new_seed():
    """Return a seed and its public key."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


class Fleet:
    """The seeds of three sites, and servers of which each can be asked by its url."""

    def __init__(self, program, directory):
        self._program = program
        self._directory = Path(directory)
        self.seeds = {}
        self.publics = {}
        for site in SITES:
            self.seeds[site], self.publics[site] = new_seed()
        self.servers = {}

    def single(self):
        """Start the one server for all."""
        return self._start("server", self._filled("server.conf"), free_port())

    def hub(self):
        """Start the hub."""
        self.leaf_port = free_port()
        return self._start("hub", self._filled("hub.conf").replace("0.0.0.0:7422", f"127.0.0.1:{self.leaf_port}"), free_port())

    def leaf(self, site):
        """Start the server of a site."""
        text = (CONFIG / "leaf.conf").read_text().replace("BERLIN", site.upper()).replace("berlin", site)
        text = text.replace("hub.example.org:7422", f"127.0.0.1:{self.leaf_port}")
        return self._start(site, self._with_keys(text), free_port())

    def stolen(self, site):
        """Start a server that has the password of a site at the hub, and asks nothing of those that connect."""
        remote = f"nats-leaf://{site}:CHANGE-{site.upper()}@127.0.0.1:{self.leaf_port}"
        text = f'listen: 0.0.0.0:4222\nleafnodes {{ remotes = [ {{ url: "{remote}" }} ] }}\n'
        return self._start(f"stolen-{site}", text, free_port())

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def _filled(self, name):
        return self._with_keys((CONFIG / name).read_text())

    def _with_keys(self, text):
        for site, public in self.publics.items():
            text = text.replace(f"nkey: U{site.upper()}", f"nkey: {public}")
        return text

    def _start(self, name, text, port):
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("listen: 127.0.0.1:4222", f"listen: 127.0.0.1:{port}")
        made = self.servers[name] = NatsServer(self._program, self._directory / name, text, port)
        return made
