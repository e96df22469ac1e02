"""Daemons in the hosts of a lab, seen through their query sockets."""

from __future__ import annotations

import select
import time
from contextlib import contextmanager

from discoveryd.errors import DaemonUnreachable
from discoveryd.net.query_client import QueryClient

TTL = 4.0
PATIENCE = 15.0
"""Seconds after which a daemon is taken for stuck: this machine may be busy with other things."""


TABLE = """
table ip lab {{
    chain input {{
        type filter hook input priority 0;
        udp dport 3400 {} drop
    }}
}}
"""
"""Drops what comes in of UDP datagrams."""


@contextmanager
def asking(host, within=PATIENCE):
    """Give a connection to the host's daemon, as soon as it listens."""
    deadline = time.monotonic() + within
    while True:
        client = QueryClient()
        try:
            with host.namespace():
                client.connect()
            break
        except DaemonUnreachable:
            if time.monotonic() > deadline:
                raise
            select.select([], [], [], 0.005)  # it is not there yet: there is nothing to read from
    try:
        yield client
    finally:
        client.close()


def listed(client, **filters):
    """Names (of bare peers the address) that are up."""
    return {peer["name"] or peer["address"] for peer in client.request("list", **filters)["peers"]}


def until(client, holds, within=PATIENCE, **filters):
    """List again and again until something holds of the peers; give them, and the seconds it took."""
    began = time.monotonic()
    while True:
        peers = client.request("list", **filters)["peers"]
        took = time.monotonic() - began
        if holds(peers):
            return peers, took
        assert took < within, f"not within {within:g} s; last: {peers}"
        select.select([], [], [], 0.01)


def names(*wanted):
    return lambda peers: {peer["name"] or peer["address"] for peer in peers} == set(wanted)


def events(client, **filters):
    """Open a watch, past its snapshot."""
    stream = client.watch(**filters)
    for line in stream:
        if line["event"] == "sync":
            return stream
    raise AssertionError("no sync")


def lose(host, rule=""):
    """Let the host lose UDP datagrams that come in: all, or as the rule says."""
    host.run("nft", "-f", "-", input=TABLE.format(rule))


def heal(host):
    """Let it lose no more."""
    host.run("nft", "delete table ip lab")
