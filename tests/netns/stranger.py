"""What an unprivileged program on one machine of the network may do to others; run inside a lab's host without a daemon.

    python -m tests.netns.stranger squat 10.77.0.255
    python -m tests.netns.stranger relay 10.77.0.1 10.77.0.2
    python -m tests.netns.stranger replace 10.77.0.255 10.77.0.2

`squat` answers the first datagram of each boot by plain HELLOs to all: under that boot and another id, under both, and a
goodbye. `relay` repeats to the first address, by unicast, whatever the second one says, and the other way round. `replace` answers the first
HELLO from an address by its goodbye, and in the same breath by a HELLO of another boot in its place.
"""

import os
import socket
import sys

PORT = 3400
NOBODY = 65534


def squat(us, broadcast):
    seen = set()
    while True:
        kind, version, _, id, boot, *_ = us.recv(2048).split(b"|")  # of HELLO and of SEALED
        if kind == b"SEALED" and boot not in seen:
            seen.add(boot)
            for name, seq, flags in ((b"evil", b"1", b""), (id, b"1000000", b""), (id, b"2000000", b"|g|")):
                said = b"|".join((b"HELLO", version, b"default", name, boot, b"800", b"3600000", b"", b"0" * 16, seq))
                us.sendto(said + flags, (broadcast, PORT))


def relay(us, *ends):
    while True:
        datagram, (sender, _) = us.recvfrom(2048)
        if sender in ends:
            us.sendto(datagram, (ends[sender == ends[0]], PORT))


def replace(us, broadcast, peer):
    while True:
        datagram, (sender, _) = us.recvfrom(2048)
        if sender == peer and datagram.startswith(b"HELLO"):
            break
    fields = datagram.split(b"|")
    us.sendto(b"|".join((*fields[:9], b"1000000", b"g", b"")), (broadcast, PORT))
    us.sendto(b"|".join((*fields[:4], b"e" * 16, b"800", b"3600000", *fields[7:9], b"1")), (broadcast, PORT))


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as us:
        us.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        us.bind(("", PORT))
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        print("listens", flush=True)
        {"squat": squat, "relay": relay, "replace": replace}[sys.argv[1]](us, *sys.argv[2:])
