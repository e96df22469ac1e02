"""A fleet of sites in namespaces: each a LAN of its own with a NATS server, and a hub on a network between them."""

import contextlib
import time
from contextlib import ExitStack

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.consumers.nats_fleet import CONFIG, SITES, new_seed
from tests.netns.daemons import asking, lose
from tests.stopping import stop

KEY = Key(b"\7" * 32)
WAN, HUB = "10.100.0", "10.100.0.1"
GONE = ("left", "down")
"""States after a goodbye, of which all three copies are lost once in 64 at 25 % loss, or after a kill."""
LOSS = "numgen random mod 100 < {}"
NODE = """\
node: {{name: {name}}}
hello: {{families: [ipv4]}}
security: {{mode: require, keys: [fleet.key]}}
history: {{keep: off}}
limits: {{query_idle: 24h}}
log: {{level: info}}
sites: {{name: {site}, servers: ["nats://10.{lan}.0.100:4222"], credentials: site.nats}}
"""


class Program:
    """A program on a host, as `process`."""

    def send(self, number):
        self.process.send_signal(number)

    def hang(self):
        """Stop it without its end: what it has open stays open."""
        stop(self.process.pid)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Server(Program):
    """A nats-server on a host of its own."""

    def __init__(self, host, program, text):
        self.host, self.program = host, program
        self.file = host.lab.directory / f"{host.name}.conf"
        self.file.write_text(text)
        self.start()

    def start(self):
        self.process = self.host.popen(self.program, "-c", str(self.file))


class Node(Program):
    """A daemon on a host of a site."""

    def __init__(self, lab, site, lan, number, seed):
        self.site, self.name = site, f"{site}{number}"
        self.host = lab.host(self.name, address=f"10.{lan}.0.{number}/24", bridge=f"br-{site}")
        self.directory = lab.directory / f"{self.name}-config"
        self.directory.mkdir()
        write_key(str(self.directory / "fleet.key"), KEY)
        (self.directory / "site.nats").write_text(seed)
        (self.directory / "site.nats").chmod(0o600)
        (self.directory / "discoveryd.yaml").write_text(NODE.format(name=self.name, site=site, lan=lan))
        self.process = None

    def start(self):
        self.process = self.host.discoveryd("--config", str(self.directory / "discoveryd.yaml"))


class Fleet:
    """Three sites of some hosts each, of which datagrams are lost in a LAN, but nothing of TCP."""

    def __init__(self, lab, program, hosts, loss=0):
        self.lab, self.program = lab, program
        seeds = {site: new_seed() for site in SITES}
        text = (CONFIG / "hub.conf").read_text().replace("0.0.0.0:7422", f"{HUB}:7422")
        self.servers = {"hub": Server(lab.host("hub", address=f"{HUB}/24", bridge="wan"), program, text)}
        self.nodes = {}
        for lan, site in enumerate(SITES, 1):
            host = lab.host(f"nats-{site}", address=f"10.{lan}.0.100/24", bridge=f"br-{site}")
            host.add_interface("wan0", f"{WAN}.{lan + 10}/24", bridge="wan")
            leaf = (CONFIG / "leaf.conf").read_text().replace("BERLIN", site.upper()).replace("berlin", site)
            leaf = leaf.replace("hub.example.org", HUB).replace(f"nkey: U{site.upper()}", f"nkey: {seeds[site][1]}")
            self.servers[site] = Server(host, program, leaf)
            for number in range(1, hosts + 1):
                node = Node(lab, site, lan, number, seeds[site][0])
                self.nodes[node.name] = node
                if loss:
                    lose(node.host, LOSS.format(loss))
        self.seeds = {site: seed for site, (seed, _) in seeds.items()}
        self._stack = ExitStack()
        self.clients = {}

    def start(self, *names):
        for name in names or self.nodes:
            self.nodes[name].start()

    def client(self, name):
        """Give a connection to the daemon of a node that stays open."""
        if name not in self.clients:
            self.clients[name] = self._stack.enter_context(asking(self.nodes[name].host))
        return self.clients[name]

    def forget(self, name):
        """Give up the connection to a daemon that is ended."""
        self.clients.pop(name, None)

    def states(self, name, site="all"):
        """Give the state of each node as one of them lists it, itself too, if a daemon answers."""
        reply = self.client(name).request("list", site=site, all=True, with_self=True)
        found = {peer["name"]: peer["state"] for peer in sorted(reply["peers"], key=lambda one: one["state"] not in GONE)}
        return found | ({reply["self"]["name"]: "up"} if "self" in reply else {})

    def gateways(self, site, but=""):
        """Give the names of the nodes that speak for a site, but for one, as each says itself."""
        names = [name for name, node in self.nodes.items() if node.site == site and name != but]
        return [name for name in names if self.client(name).request("sites")["role"] == "gateway"]

    def lists(self, name, *wanted, state="up"):
        states = self.states(name)
        return all(states.get(one) in ((state,) if isinstance(state, str) else state) for one in wanted)

    def cut(self, site, *, up=False):
        """Unplug the server of a site from the network between the sites, or plug it in again."""
        self.servers[site].host.cable(up=up, interface="wan0")

    def close(self):
        with contextlib.suppress(OSError):
            self._stack.close()


def until(holds, within, what=""):
    """Look again and again until something holds; give the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"not within {within:g} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began


def throughout(seconds, holds):
    """Call again and again, until so many seconds are over, what raises an AssertionError where something is wrong."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        holds()
        time.sleep(0.1)
    holds()


def lag(fleet, near, far, name, state, within=30.0):
    """Give the seconds from when a site knows of a state (one of its nodes `near`) until each of other sites does.

    What counts are the gateways of the site: where HELLOs are lost another node may hear of it before them.
    """
    began, known, seen = time.monotonic(), None, {}
    accepted = (state,) if isinstance(state, str) else state
    while len(seen) < len(far) or known is None:
        now = time.monotonic()
        assert now - began < within, f"{name} is not {state}: here {known}, elsewhere {seen}"
        if known is None and any(fleet.states(one).get(name) in accepted for one in near):
            known = time.monotonic()
        for one in far:
            if one not in seen and fleet.states(one).get(name) in accepted:
                seen[one] = time.monotonic()
        time.sleep(0.002)
    return {one: at - known for one, at in seen.items()}


