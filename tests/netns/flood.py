"""Sends forged HELLOs from changing addresses, so many a second for so many seconds; run inside a lab's host.

    python -m tests.netns.flood eth0 10.77.0.0/16 50000 20 [quiet]

With `quiet` all are steady; else half of them solicit. Prints what it really sent, as JSON.
"""

import json
import select
import socket
import struct
import sys
import time
from ipaddress import ip_network
from random import Random

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


def hello(random, *, is_quiet):
    boot, id, digest = (f"{random.getrandbits(64):016x}" for _ in range(3))
    return f"HELLO|2|default|{id}|{boot}|800|4000||{digest}|{random.randrange(1000)}{'' if is_quiet else random.choice(['', '|s|'])}".encode()


def main(interface, subnet, rate, seconds, *, is_quiet=False):
    random = Random(1)
    network = ip_network(subnet)
    to = network.broadcast_address.packed
    ether = b"\xff" * 6 + b"\x02flood" + struct.pack("!H", 0x0800)
    packets = []
    for _ in range(KINDS):
        source = network[random.randrange(4096, network.num_addresses - 1)].packed
        packets.append(ether + datagram(source, to, hello(random, is_quiet=is_quiet)))
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
