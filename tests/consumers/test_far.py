"""Other parts of two daemons of two sites, with a real NATS server between them: names, the page, messages, doctor."""

import json
import signal
import socket
from urllib.request import urlopen

from dnslib import RCODE, DNSRecord

from discoveryd.net.sockets import free_port
from tests.netns.sites import until

WAIT = 30.0


def asked(address, name, kind="A"):
    """Give the code of an answer of DNS, and the data of its records."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10.0)
        asking.sendto(bytes(DNSRecord.question(name, kind).pack()), address)
        answer = DNSRecord.parse(asking.recv(65535))
    return RCODE.get(answer.header.rcode), [str(one.rdata) for one in answer.rr]


def test_names_and_http_follow_the_peers_of_another_site(far_sites):
    ports = [free_port("127.0.0.1", "tcp") for _ in range(2)]
    environment = {"DISCOVERYD_DNS__LISTEN": f"127.0.0.1:{ports[0]}", "DISCOVERYD_WEB__LISTEN": f"127.0.0.1:{ports[1]}"}
    anna = far_sites.add("anna", "paris", environment=environment)
    bert = far_sites.add("bert", "berlin", more="node: {services: [{name: http, port: 80}]}")
    until(lambda: far_sites.lists("anna", "bert"), WAIT, "anna lists bert")
    until(lambda: anna.ask("status")["dns"].get("site_names"), WAIT, "it has names")
    dns = "127.0.0.1", ports[0]
    name = "bert.berlin.peers.internal"
    until(lambda: asked(dns, name) == ("NOERROR", [bert.address]), WAIT, "bert has a name")
    assert asked(dns, "_http._tcp.berlin.peers.internal", "SRV") == ("NOERROR", [f"0 1 80 {name}."])
    assert asked(dns, "anna.paris.peers.internal") == asked(dns, "anna.peers.internal") == ("NOERROR", [anna.address])
    assert asked(dns, "bert.peers.internal")[0] == asked(dns, "bert.rome.peers.internal")[0] == "NXDOMAIN"

    def get(path):
        with urlopen(f"http://127.0.0.1:{ports[1]}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)

    def shown(query):
        return [(peer["name"], peer["site"], peer["state"]) for peer in get(f"peers?{query}")["peers"]]

    assert shown("site=berlin") == shown("site=all") == [("bert", "berlin", "up")]
    assert get("peers")["peers"] == []
    assert get("sites")["sites"][0]["state"] == "reachable"

    far_sites.server.kill()
    until(lambda: anna.ask("sites")["sites"][0]["state"] == "unreachable", WAIT, "berlin is silent")
    assert asked(dns, name) == ("NXDOMAIN", [])
    assert shown("site=berlin") == [("bert", "berlin", "unknown")]
    far_sites.server.start()
    until(lambda: asked(dns, name) == ("NOERROR", [bert.address]), WAIT, "it is found again")

    anna.config.write_text(far_sites.text("paris", "follow: [{site: tokyo}]"))
    anna.kill(signal.SIGHUP)
    until(lambda: asked(dns, name) == ("NXDOMAIN", []), WAIT, "berlin is not followed any more")
    until(lambda: anna.ask("status")["dns"]["site_names"] == 0, WAIT, "nor kept")
