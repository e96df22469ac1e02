"""Sends forged HELLOs from changing addresses, so many a second for so many seconds; run inside a lab's host.

    python -m tests.netns.flood eth0 10.77.0.0/16 50000 20 [quiet]
    python -m tests.netns.flood eth0 fe80::/64 50000 20

With `quiet` all are steady; else half of them solicit. Of a network of IPv6 they go to the group, with hop limit 255.
Prints what it really sent, as JSON.
"""

import json
import select
import socket
import struct
import sys
import time
from ipaddress import ip_network
from random import Random

from discoveryd.protocol.link import GROUP

KINDS = 4096
"""Different datagrams, each from an address of its own, sent over and over: all distinct boots and ids."""
BURST = 50
"""Sent at once. Four ports of a bridge make 200 packets of it, and the kernel's queue, which all hosts share, holds 1000."""


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(source, to, payload, port=3400):
    udp = struct.pack("!4H", port, port, 8 + len(payload), 0) + payload  # no checksum: IPv4 allows it
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, to)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + udp


def datagram_ipv6(source, to, payload, port=3400):
    udp = struct.pack("!4H", port, port, 8 + len(payload), 0) + payload
    pseudo = source + to + struct.pack("!II", len(udp), 17) + udp + bytes(len(udp) % 2)
    udp = udp[:6] + struct.pack("!H", checksum(pseudo) or 0xFFFF) + payload
    return struct.pack("!IHBB", 0x60000000, len(udp), 17, 255) + source + to + udp


def hello(random, *, is_quiet):
    boot, id, digest = (f"{random.getrandbits(64):016x}" for _ in range(3))
    return f"HELLO|2|default|{id}|{boot}|800|4000||{digest}|{random.randrange(1000)}{'' if is_quiet else random.choice(['', '|s|'])}".encode()


def main(interface, subnet, rate, seconds, *, is_quiet=False):
    random = Random(1)
    network = ip_network(subnet)
    pack, kind, to, everybody = datagram, 0x0800, network.broadcast_address.packed, b"\xff" * 6
    if network.version == 6:
        pack, kind, to = datagram_ipv6, 0x86DD, socket.inet_pton(socket.AF_INET6, GROUP)
        everybody = b"\x33\x33" + to[-4:]
    ether = everybody + b"\x02flood" + struct.pack("!H", kind)
    packets = []
    for _ in range(KINDS):
        source = network[random.randrange(4096, network.num_addresses - 1)].packed
        packets.append(ether + pack(source, to, hello(random, is_quiet=is_quiet)))
    sent = failed = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        began = due = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            if now < due:
                select.select([], [], [], due - now)
                continue
            due = max(due + BURST / rate, now)  # what was missed on busy cores is not made up for: it would fill the queue
            for number in range(sent, sent + BURST):
                try:
                    raw.send(packets[number % KINDS])
                except OSError:
                    failed += 1
            sent += BURST
        took = time.monotonic() - began
    print(json.dumps({"sent": sent - failed, "failed": failed, "seconds": round(took, 2), "rate": round((sent - failed) / took)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), is_quiet=sys.argv[5:] == ["quiet"])
