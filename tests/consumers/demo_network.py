"""An invented network of real daemons, with a past of a day and a few faults: for pictures of the page.

    python -m tests.consumers.demo_network docs      renders docs/page-light.png, page-dark.png and page-phone.png

Each node is a network namespace of its own, without an uplink. What one node has seen since yesterday is written into
its history before it starts; all else happens.
"""

from __future__ import annotations

import json
import select
import shutil
import sys
import time
from pathlib import Path

from discoveryd.history.store import NodeFacts, Store
from tests.consumers.browser import Browser
from tests.consumers.install import HOME
from tests.netns.daemons import asking, lose, until
from tests.netns.lab import Lab

HERE = "pi-attic"
"""The node that the pictures are of."""
HOUR = 3_600_000

NODES = {  # name -> tags, services
    HERE: ({"role": "monitor", "rack": "attic"}, ["ssh:22", "grafana:3000"]),
    "nas": ({"role": "storage", "rack": "cellar"}, ["nfs:2049", "smb:445", "https:443"]),
    "router": ({"role": "gateway"}, ["http:80", "dns:53"]),
    "gpu-1": ({"role": "render", "gpu": "rtx4090", "rack": "office"}, ["render:9000", "ssh:22"]),
    "gpu-2": ({"role": "render", "gpu": "rtx4090", "rack": "office"}, ["render:9000", "ssh:22"]),
    "db-1": ({"role": "db", "tier": "primary"}, ["postgresql:5432"]),
    "db-2": ({"role": "db", "tier": "replica"}, ["postgresql:5432"]),
    "cam-porch": ({"role": "camera", "wifi": "garden"}, ["rtsp:554", "http:8080"]),
    "kitchen": ({"role": "display"}, ["web:8123"]),
    "build": ({"role": "ci", "arch": "arm64"}, ["http:8080"]),
    "laptop-eva": ({"role": "laptop", "owner": "eva"}, ["ssh:22"]),
}
OUTAGES = {  # name -> hours ago: from, until, how the stay ended, why
    "cam-porch": [(21.5, 21.2, "down", "silent for its ttl of 4s, and no answer to 6 PINGs"),
                  (15.1, 14.2, "down", "silent for its ttl of 4s, and no answer to 5 PINGs"), (6.0, 5.9, "down", "no answer to 8 PINGs")],
    "gpu-1": [(9.2, 9.15, "restarted", "back with a new boot")],
    "gpu-2": [(9.0, 8.95, "restarted", "back with a new boot"), (3.2, 2.6, "down", "its process died")],
    "laptop-eva": [(23.4, 12.5, "left", "said goodbye"), (8.4, 7.6, "left", "said goodbye")],
    "build": [(18.0, 17.0, "left", "said goodbye")],
}  # fmt: skip
PICTURES = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5, "color_scheme": "light"},
}
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir>
<alias binding="same"><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
<alias binding="same"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
</fontconfig>
"""
BORN = {"kitchen": 11.0}
"""Hours since a node was first seen, where that is less than a day."""


def write_past(path):
    """Write what was seen of each node since yesterday."""
    store, now = Store(str(path)), round(time.time() * 1000)
    begin = now - 30 * HOUR
    store.begin()
    store.begin_run(begin, 0)
    store.extend_watch(store.begin_watch(begin), now, "stopped")
    told = []
    for place, (name, (tags, services)) in enumerate(NODES.items()):
        if name == HERE:
            continue
        address, first = address_of(place), max(begin, now - round(BORN.get(name, 30) * HOUR))
        facts = NodeFacts(name, name, address, "eth0", json.dumps(tags), json.dumps(services_of(services)))
        n, start = store.keep_node(facts, first), first
        told.append((first, n, "joined", "first HELLO on eth0", address, "eth0"))
        for number, (since, to, ended, reason) in enumerate(OUTAGES.get(name, ())):
            end, back = now - round(since * HOUR), now - round(to * HOUR)
            store.end_stay(store.begin_stay(n, f"{name}-{number}", start, address, "eth0"), end, ended, reason)
            if ended != "restarted":
                told.append((end, n, ended, reason, address, "eth0"))
            told.append((back, n, "restarted" if ended == "restarted" else "joined",
                         f"back with a new boot on eth0; it was away for {round((since - to) * 60)}m", address, "eth0"))  # fmt: skip
            start = back
        store.end_stay(store.begin_stay(n, f"{name}-last", start, address, "eth0"), now, "unknown", "this node was stopped")
    for event in sorted(told):
        store.add_event(*event)
    store.commit()
    store.close()


def services_of(texts):
    pairs = (text.split(":") for text in texts)
    return [{"name": name, "port": int(port), "proto": "udp" if name == "dns" else "tcp", "tags": {}} for name, port in pairs]


def address_of(place):
    return f"10.20.0.{10 + place}"


def start(lab, directory, **settings):
    """Start all nodes; give the hosts and the daemons by name."""
    hosts, daemons = {}, {}
    for place, name in enumerate(NODES):
        hosts[name] = lab.host(name, address=f"{address_of(place)}/24")
        (directory / name).mkdir()
    write_past(directory / HERE / "history.db")
    for name, (tags, services) in NODES.items():
        env = {
            "NODE__NAME": name, "NODE__ID": name, "NODE__TAGS": json.dumps(tags), "NODE__SERVICES": json.dumps(services_of(services)),
            "PATHS__STATE": str(directory / name), "PATHS__RUNTIME": str(directory / name), "LOG__LEVEL": "error",
            **(settings if name == HERE else {"HISTORY__KEEP": "off"}),
        }  # fmt: skip
        daemons[name] = hosts[name].discoveryd(env={f"DISCOVERYD_{key}": value for key, value in env.items()})
    return hosts, daemons


def happen(hosts, daemons):
    """Let things go wrong, and wait until the node in the pictures has seen them."""
    with asking(hosts[HERE]) as client:
        until(client, lambda peers: len(peers) == len(NODES) - 1 and all(peer["two_way"] for peer in peers))
        deadline = time.monotonic() + 60
        while slow := [peer["id"] for peer in client.request("list")["peers"] if peer["rtt_ms"] > 2]:  # this machine is busy
            client.request("ping", peer=slow[0], count=5, timeout_s=0.5)
            if time.monotonic() > deadline:
                break
        lose(hosts["kitchen"])  # hears nobody
        lose(hosts[HERE], f"ip saddr {address_of([*NODES].index('cam-porch'))} numgen random mod 100 < 22")
        daemons["build"].kill()
        daemons["laptop-eva"].terminate()

        def has_happened(peers):
            found = {peer["name"]: peer for peer in peers}
            return (found["build"]["state"] == "down" and found["laptop-eva"]["state"] == "left"
                    and found["kitchen"]["two_way"] is False and (found["cam-porch"]["loss"] or 0) > 0.1)  # fmt: skip

        until(client, has_happened, 90, all=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if {"peer-firewall-in", "lossy-path"} <= {one["code"] for one in client.request("status")["findings"]}:
                return
            select.select([], [], [], 0.5)


def main(into):
    chromium = shutil.which("chromium") or sys.exit("needs chromium, and better fonts-inter: apt-get install chromium fonts-inter")
    with Lab() as lab:
        hosts, daemons = start(lab, lab.directory, WEB__LISTEN="127.0.0.1:3480")
        happen(hosts, daemons)
        fonts = lab.directory / "fonts.conf"
        fonts.write_text(FONTS)
        with Browser(hosts[HERE], HOME / "browser/bin/python", chromium, {"FONTCONFIG_FILE": str(fonts)}) as browser:
            for name, context in PICTURES.items():
                browser.open("http://127.0.0.1:3480/", **context)
                browser.until(f"document.querySelectorAll('#peers svg').length === {len(NODES) - 1}")
                browser.call("wait_for_timeout", 1500)  # for the ages of a second question
                browser.call("screenshot", path=str(into / f"page-{name}.png"))
                assert browser.call("console") == []


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
