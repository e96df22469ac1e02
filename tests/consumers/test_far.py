"""Other parts of two daemons of two sites, with a real NATS server between them: names, the page, messages, doctor."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from dnslib import RCODE, DNSRecord

from discoveryd.net.sockets import free_port
from discoveryd.protocol.messages.handed import MAX_HANDED
from discoveryd.runtime.client import Client
from tests.netns.sites import until
from tests.runtime.hooking import write_hook

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

    with urlopen(f"http://127.0.0.1:{ports[1]}/events?site=berlin", timeout=WAIT) as stream:
        told = (json.loads(line[6:]) for line in stream if line.startswith(b"data: "))
        assert [next(told)["event"] for _ in range(2)] == ["snapshot", "sync"]
        far_sites.server.kill()
        lost = next(told)
    assert (lost["event"], lost["site"]) == ("site-unreachable", "berlin")
    assert anna.ask("sites")["sites"][0]["state"] == "unreachable"
    assert asked(dns, name) == ("NXDOMAIN", [])
    assert shown("site=berlin") == [("bert", "berlin", "unknown")]
    far_sites.server.start()
    until(lambda: asked(dns, name) == ("NOERROR", [bert.address]), WAIT, "it is found again")

    anna.config.write_text(far_sites.text("paris", "follow: [{site: tokyo}]"))
    anna.kill(signal.SIGHUP)
    until(lambda: asked(dns, name) == ("NXDOMAIN", []), WAIT, "berlin is not followed any more")
    until(lambda: anna.ask("status")["dns"]["site_names"] == 0, WAIT, "nor kept")


def token_of(daemon):
    return Path(daemon.environment["DISCOVERYD_PATHS__RUNTIME"]) / "control.token"


def talk(daemon, *arguments):
    """Run discoveryctl against a daemon; give its exit code, and both outputs."""
    token = str(token_of(daemon))
    done = subprocess.run(
        [sys.executable, "-m", "discoveryd.ctl", *arguments, "--address", f"{daemon.query[0]}:{daemon.query[1]}", "--token-file", token],
        env=daemon.environment, cwd="/", capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_messages_reach_a_peer_of_another_site(far_sites):
    far_sites.add("anna", "paris")
    far_sites.add("amy", "paris", sites="speaks: off")
    allow = "allow: [{site: paris, send: [deploy, note], ask: [info, disk, upper]}]"
    rules = 'messages: {allow: [{name: disk, from: "a*@paris"}, {name: deploy, from: "*"}]}'
    far_sites.add("bert", "berlin", sites=allow, more=rules)
    far_sites.add("carl", "berlin", sites=f"{allow}, speaks: off", more=rules)
    for name in ("bert", "carl"):
        write_hook(far_sites.directory / name / "messages.d", "disk", "echo $DISCOVERYD_PEER $DISCOVERYD_ID wants $(cat)")
        write_hook(far_sites.directory / name / "messages.d", "deploy", "exit 0")
    anna, amy = (far_sites.daemons[name] for name in ("anna", "amy"))
    until(lambda: all(far_sites.lists(name, "bert", "carl") for name in ("anna", "amy")), WAIT, "paris lists berlin")
    bert, carl = (far_sites.daemons[name] for name in ("bert", "carl"))

    def programs(daemon):
        return {one["name"] for one in daemon.ask("status")["messages"]["programs"] if not one["why"]}

    until(lambda: programs(bert) == programs(carl) == {"disk", "deploy"}, WAIT, "programs are run")
    # by a gateway, and a node that only reads, to the gateway there itself, and through it
    for asker in (anna, amy):
        name = asker.environment["DISCOVERYD_NODE__NAME"]
        for peer, address in (("bert", bert.address), ("carl", carl.address)):
            code, out, err = talk(asker, "ask", "disk", "space", "--site", "berlin", "--to", peer)
            assert (code, out) == (0, f"{peer} ({address})  {name}@paris id-{name}@paris wants space\n"), err
    code, out, err = talk(anna, "ask", "upper", "x" * MAX_HANDED, "--site", "berlin", "--to", "carl", "--json")
    assert code == 0, err
    delivery = json.loads(out.splitlines()[0])["delivery"]
    assert (delivery["status"], delivery["text"], delivery["peer"]["site"]) == ("answered", "X" * MAX_HANDED, "berlin")
    with Client(anna.query, token=lambda: token_of(anna).read_text().strip()) as client:
        [(peer, answer)] = client.ask("upper", "abc", to="bert", site="berlin").answers
        assert (peer.label, answer) == ("bert", b"ABC")
    assert talk(anna, "ask", "upper", "abc", "--site", "paris", "--to", "amy")[1] == f"amy ({amy.address})  ABC\n"
    # a rule of this network is about nobody elsewhere, not even by *
    for peer in ("bert", "carl"):
        code, out, err = talk(anna, "send", "deploy", "v2", "--site", "berlin", "--to", peer)
        assert (code, out.splitlines()[0].split(": ")[1]) == (1, "refused, denied"), err
    code, out, err = talk(anna, "send", "note", "--site", "berlin", "--to", "carl")
    assert (code, out.splitlines()[0].split(": ")[1]) == (1, "refused, no-handler"), err
    for arguments, says in (
        (("send", "reboot", "--site", "berlin", "--to", "bert"), "berlin: nobody of paris may send reboot here (sites.allow)"),
        (("ask", "deploy", "--site", "berlin", "--to", "bert"), "nobody of paris may ask deploy here"),
        (("ask", "info", "--site", "berlin", "--to", "ernie"), "no peer of berlin has the name, id or address 'ernie'"),
        (("ask", "info", "--site", "rome", "--to", "bert"), "no site 'rome' is known; known: paris, berlin"),
        (("ask", "info", "--site", "berlin", "--everyone"), "--site is for one peer of berlin"),
        (("ask", "info", "--site", "berlin", "--to", "bert", "--timeout", "61"), "at most 60 s"),
        (("ask", "info", "x" * (MAX_HANDED + 1), "--site", "berlin", "--to", "bert"), "from site to site at most 64512"),
    ):
        code, out, err = talk(anna, *arguments)
        assert code in (1, 2)  # 1 where nobody is meant
        assert (out, says in err) == ("", True), err
    code, out, err = talk(bert, "ask", "info", "--site", "paris", "--to", "anna")
    assert "nobody of berlin may ask info here" in err
    told = bert.ask("status")["sites"]["messages"]
    assert (told["denied"], told["received"] - told["handed_over"]) == (2, 2)
    assert anna.ask("status")["sites"]["messages"]["waiting"] == 0

    code, out, err = talk(anna, "doctor", "bert", "--site", "berlin")
    assert (code, out.startswith("bert of berlin is up, by the word of its gateway id-bert, proved ")) == (0, True), err
    assert out.endswith("Run on a node of berlin\n    discoveryctl doctor bert\n")
    assert talk(anna, "doctor", "ernie", "--site", "berlin")[0] == 1

    bert.config.write_text(far_sites.text("berlin", "allow: [{site: rome, ask: [info]}]"))
    bert.kill(signal.SIGHUP)
    until(lambda: "nobody of paris may ask info" in talk(anna, "ask", "info", "--site", "berlin", "--to", "bert")[2], WAIT, "a reload counts")
    bert.kill(signal.SIGKILL)
    carl.kill(signal.SIGKILL)
    until(lambda: anna.ask("sites")["sites"][0]["state"] == "unreachable", WAIT, "berlin is silent")
    code, out, err = talk(anna, "ask", "info", "--site", "berlin", "--to", "bert")
    assert (code, "the site berlin is unreachable: no gateway of it is heard" in err) == (1, True), err
