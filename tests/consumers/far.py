"""Daemons of two sites on loopback, a network of its own for each, and one real nats-server with the ready configuration."""

from discoveryd.daemon.keys import write_key
from discoveryd.errors import DiscoveryError
from discoveryd.net.sockets import free_port
from discoveryd.protocol.sealed.keyring import Key
from tests.consumers.nats_fleet import Fleet
from tests.integration.process import Daemon

CONFIG = """\
security: {{mode: require, keys: [fleet.key]}}
history: {{keep: off}}
sites: {{name: {site}, servers: ["{url}"], credentials: site.nats{sites}}}
{more}
"""
KEY = Key(b"\7" * 32)


class FarSites:
    """Daemons by name; those of one site hear each other.

    Args:
        program: nats-server.
        directory: for all files.
    """

    def __init__(self, program, directory):
        self.directory = directory
        self.fleet = Fleet(program, directory / "nats")
        self.server = self.fleet.single()
        self.ports = {}
        self.daemons = {}

    def add(self, name, site, *, sites="", more="", environment=None):
        """Start a daemon; `sites` is what follows in that section, `more` are sections."""
        directory = self.directory / name
        directory.mkdir()
        write_key(str(directory / "fleet.key"), KEY)
        (directory / "site.nats").write_text(self.fleet.seeds[site])
        (directory / "site.nats").chmod(0o600)
        port = self.ports.setdefault(site, free_port("127.0.0.1", "udp"))
        environment = {"DISCOVERYD_NODE__NAME": name, "DISCOVERYD_NODE__ID": f"id-{name}", **(environment or {})}
        with (directory / "log").open("w") as log:
            text = self.text(site, sites, more)
            made = Daemon(directory, 2 + len(self.daemons), port, config=text, environment=environment, stderr=log)
            self.daemons[name] = made.run()
        return made

    def text(self, site, sites="", more=""):
        """Give the configuration of a daemon."""
        return CONFIG.format(site=site, url=self.server.url, sites=sites and f", {sites}", more=more)

    def log(self, name):
        return (self.directory / name / "log").read_text()

    def lists(self, name, *wanted):
        """Tell whether a daemon lists peers of other sites as up."""
        daemon = self.daemons[name]
        try:
            peers = daemon.ask("list", site="all")["peers"]
        except DiscoveryError:  # it has just begun
            return False
        return {peer["name"] for peer in peers if peer["state"] == "up"} >= set(wanted)

    def close(self):
        for daemon in self.daemons.values():
            daemon.process.kill()
            daemon.process.wait(10)
        self.fleet.stop()
