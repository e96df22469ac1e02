"""Messages between real hosts: with loss, beside peers that know nothing of them, and as docs/messages.md shows them."""

import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from discoveryd.daemon.keys import write_key
from discoveryd.protocol.sealed.keyring import Key
from tests.netns.daemons import PATIENCE, asking, heal, lose, names, until
from tests.netns.lab import REPOSITORY
from tests.runtime.hooking import write_hook

HOSTS = 10
BAR = float(os.environ.get("DISCOVERYD_SEND_SECONDS") or PATIENCE)
"""Seconds within which each acknowledged; 1.5 is the long run, on idle cores."""
PAGE = (REPOSITORY / "docs" / "messages.md").read_text(encoding="utf-8")


def watch(host, file, *words):
    """Let a host print the messages that come to it, one JSON object a line."""
    with open(file, "w", encoding="utf-8") as out:
        return host.popen(sys.executable, "-m", "discoveryd.ctl", "watch", "--json", *words, stdout=out)


def payloads(file):
    return [json.loads(line)["message"]["text"] for line in Path(file).read_text(encoding="utf-8").splitlines()]


def watched(client):
    until(client, lambda _: client.request("status")["messages"]["watchers"] == 1)


def eventually(holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, holds
        select.select([], [], [], 0.02)


def test_ten_hosts_at_20_percent_loss_handle_a_message_once(firewall, lab, fleet, tmp_path):
    hosts, processes, clients = fleet(HOSTS)
    files = {host.name: tmp_path / host.name for host in hosts[1:]}
    for host, client in zip(hosts[1:], clients[1:], strict=True):
        watch(host, files[host.name], "--message", "deploy", "--message", "end")
        client.timeout = PATIENCE
    for client in clients[1:]:
        watched(client)
    for client in clients:
        until(client, lambda peers: all(peer["two_way"] for peer in peers))
    for host in hosts:
        lose(host, "numgen random mod 100 < 20")
    stopped = hosts[-1]
    processes[-1].kill()
    late = lab.host("late", address="10.77.0.99/24")
    command = (sys.executable, "-m", "discoveryd.ctl", "send", "deploy", "v2", "--everyone", "--json")
    sending = hosts[0].popen(*command, stdout=subprocess.PIPE)
    late.discoveryd()  # joins in the middle, or a moment before
    done, _ = sending.communicate(timeout=PATIENCE)
    *deliveries, last = [json.loads(line) for line in done.splitlines()]
    ends = {one["delivery"]["peer"]["name"]: one["delivery"] for one in deliveries if one["delivery"]["final"]}
    others = {host.name for host in hosts[1:-1]}
    assert {name: ends[name]["status"] for name in others} == dict.fromkeys(others, "acked"), done
    assert ends.pop(late.name, {"status": "refused"})["status"] == "refused", "the newcomer is not counted as missing"
    assert set(ends) - others <= {stopped.name}
    assert stopped.name not in ends or ends[stopped.name]["status"] in ("timeout", "down")
    assert last["summary"]["expected"] in (len(ends), len(ends) + 1)
    slowest = max(ends[name]["took_s"] for name in others)
    print(f"acknowledged by {len(others)} hosts at 20 % loss each way within {slowest:.2f} s")
    assert slowest <= BAR
    for host in hosts[:-1]:
        heal(host)
    hosts[0].discoveryctl("send", "end", "x", *(word for name in sorted(others) for word in ("--to", name)))
    eventually(lambda: all(payloads(files[name])[-1:] == ["x"] for name in others))
    assert {tuple(payloads(files[name])) for name in others} == {("v2", "x")}, "each once, in their order"


SCRIPT = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind(("", 3400))
s.settimeout(0.2)
said = 0
while True:
    if time.monotonic() > said + 0.4:
        s.sendto(b"HELLO|", ("10.77.0.255", 3400))
        said = time.monotonic()
    try:
        data, (source, port) = s.recvfrom(1024)
    except TimeoutError:
        continue
    if data.startswith(b"HELLO|"):
        print("alive", source, flush=True)
    else:
        print("passed over", len(data), data.decode("ascii").partition("|")[0], flush=True)
"""
"""A peer that knows HELLO| alone, and takes each datagram for ASCII of at most 1,024 bytes."""


def test_a_script_that_knows_hello_alone_is_at_peace(lab):
    a, b, c = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate("abc", 1))
    a.discoveryd()
    b.discoveryd()
    script = c.popen(sys.executable, "-c", SCRIPT)
    with asking(a) as on_a, asking(b) as on_b:
        until(on_a, names("b", "10.77.0.3"))
        until(on_b, names("a", "10.77.0.3"))
        began = on_a.request("status")["events"]
        done = a.discoveryctl("send", "deploy", "x" * 600, "--everyone", check=False)
        assert (done.returncode, done.stdout) == (1, "b (10.77.0.2): refused, no-handler\n0 of 1 acked, 1 refused\n")
        for _ in range(3):
            assert a.discoveryctl("ask", "echo", "y" * 600, "--everyone").stdout.startswith("b (10.77.0.2)  yyy")
        eventually(lambda: c.log().count("passed over") >= 4)
        heard = c.log().count("alive")
        eventually(lambda: c.log().count("alive") >= heard + 4)
        until(on_a, names("b", "10.77.0.3"))
        assert on_a.request("status")["events"] == began, "it is listed all the while"
    assert script.poll() is None, c.log()
    assert {line.split()[-1] for line in c.log().splitlines() if "passed over" in line} == {"MSG"}


# --- the recipes of docs/messages.md -----------------------------------------------------------------------


def recipe(title):
    """Return the code blocks below a headline, by language; several of one language as a list."""
    section = PAGE.partition(f"\n### {title}\n")[2].partition("\n##")[0]
    found = re.findall(r"^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found, title
    return {kind: [block for one, block in found if one == kind] for kind, _ in found}


def shell(host, line, directory):
    """Run a line of a recipe as a person at that host would."""
    return host.run("sh", "-ec", line, env={"PATH": f"{directory}:{host.environment()['PATH']}"}, check=False)


@pytest.fixture
def commands(tmp_path):
    """Return a directory with `discoveryctl` and with what a recipe needs besides."""
    directory = tmp_path / "bin"
    write_hook(directory, "discoveryctl", f'exec {sys.executable} -m discoveryd.ctl "$@"')
    return directory


@pytest.fixture
def group(lab, tmp_path):
    """Give a function that starts a host with a key and tags, and programs in its messages.d."""

    def start(number, name, role, programs=(), allow=()):
        host = lab.host(name, address=f"10.77.0.{number}/24")
        directory = tmp_path / f"etc-{name}"
        directory.mkdir()
        write_key(str(directory / "group.key"), Key(b"k" * 32))
        for program, script in programs:
            write_hook(directory / "messages.d", program, script)
        rules = json.dumps([{"name": one, "from": sender} for one, sender in allow])
        (directory / "discoveryd.yaml").write_text(
            f"node: {{tags: {{role: {role}}}}}\nsecurity: {{mode: require, keys: [group.key]}}\nmessages: {{allow: {rules}}}\n",
            encoding="utf-8",
        )
        host.discoveryd("--config", str(directory / "discoveryd.yaml"))
        return host

    return start


def test_the_recipe_of_a_deployment_runs(group, commands, tmp_path):
    found = recipe("A deploy signal to all workers, with a quorum")
    [agent], [line] = found["python"], found["sh"]
    write_hook(commands, "deploy", f'echo "$(hostname) $*" >> {tmp_path}/deployed')
    anna, bert, carl = group(1, "anna", "control"), group(2, "bert", "worker"), group(3, "carl", "worker")
    with asking(anna) as on_anna, asking(bert) as on_bert, asking(carl) as on_carl:
        until(on_anna, names("bert", "carl"))
        until(on_anna, lambda peers: all(peer["two_way"] for peer in peers))
        for host, client in ((bert, on_bert), (carl, on_carl)):
            host.popen(sys.executable, "-c", agent, env={"PATH": f"{commands}:{host.environment()['PATH']}"})
            watched(client)
        done = shell(anna, line, commands)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 of 2 acked (2 suffice)\n", "")
    eventually(lambda: (tmp_path / "deployed").exists() and len((tmp_path / "deployed").read_text().splitlines()) == 2)
    assert sorted((tmp_path / "deployed").read_text().splitlines()) == ["bert v2", "carl v2"]


def test_the_recipe_that_asks_for_disk_space_runs(group, commands):
    found = recipe("Who has disk space left?")
    program, line = found["sh"]
    anna = group(1, "ctl-1", "control")
    group(2, "store-1", "storage", programs=[("disk", program)], allow=[("disk", "ctl-*")])
    group(3, "store-2", "storage", programs=[("disk", program)], allow=[("disk", "nobody")])
    with asking(anna) as on_anna:
        until(on_anna, lambda peers: {peer["name"] for peer in peers if peer["two_way"]} == {"store-1", "store-2"})
        done = shell(anna, line, commands)
    assert re.fullmatch(r"store-1 \(10\.77\.0\.2\)  +\S+[KMGT]?\n", done.stdout), done
    assert (done.returncode, done.stderr) == (1, "discoveryctl: 1 of 2 answered, 1 refused; store-2 (10.77.0.3): refused, denied\n")


def test_the_recipe_of_a_python_service_runs(lab, commands):
    found = recipe("A Python service that answers")
    [service], [line] = found["python"], found["sh"]
    a, b = (lab.host(name, address=f"10.77.0.{last}/24") for last, name in enumerate("ab", 1))
    a.discoveryd()
    b.popen(sys.executable, "-c", service)
    with asking(a) as on_a:
        until(on_a, lambda peers: [peer["name"] for peer in peers if peer["two_way"]] == ["sensor-1"])
        done = shell(a, line, commands)
    assert (done.returncode, done.stdout) == (0, "sensor-1 (10.77.0.2)  21.5\n"), done
