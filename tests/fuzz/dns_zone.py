"""A zone of peers with names and services of all kinds, and what looks at them; nothing changes it."""

from random import Random

from discoveryd.dns.index import Seen
from discoveryd.dns.zone import Zone
from discoveryd.protocol.table.peer import peer_from_json
from tests.query.formats.contracts import HOSTILE
from tests.query.samples import peer

SERVICES = [
    {"name": "http", "port": 80, "proto": "tcp", "tags": {"path": "/"}}, {"name": "http", "port": 81, "proto": "tcp", "tags": {}},
    {"name": "_x", "port": 1, "proto": "udp", "tags": {"k": "v" * 250}}, {"name": "two words", "port": 1, "proto": "tcp", "tags": {}},
]  # fmt: skip


def standing():
    names = ["bert", "bert", "Bert", "web.a", "bert-0000", *filter(str.isprintable, HOSTILE)]
    made = [
        peer(id=f"id{number}", boot=f"{number:04x}{'0' * 12}", name=name, address=f"10.0.0.{number + 2}",
             addresses=[f"10.0.0.{number + 2}", f"2001:db8::{number:x}"], services=SERVICES, tags={"role": name[:60] or "x"})
        for number, name in enumerate(names)
    ]  # fmt: skip
    found = {(one.id, one.boot): one for one in map(peer_from_json, made)}
    zone = Zone("peers.internal", 30.0, with_self=False, address="127.0.0.1", random=Random(1))
    zone.index.take(list(found.items()))
    return zone, lambda keys: {key: Seen(found[key], 2.5, len(key[0]) % 3) for key in keys}
