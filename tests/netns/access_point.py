"""Joins two interfaces as a Wi-Fi access point does: broadcasts are held back for a moment; run inside a lab's host.

    python -m tests.netns.access_point eth0 eth1 0.1

What goes from the first interface (the cable) to the second (the air) and is for all waits for so many seconds; what is
for one machine passes at once, and so does all from the air.
"""

import select
import socket
import struct
import sys
import time
from collections import deque

SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
ETH_P_ALL = 3


def open_interface(name):
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.bind((name, ETH_P_ALL))
    opened.setsockopt(
        SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b"")
    )
    return opened


def without_checksum(frame):
    """Leave out the checksum of UDP, which is not reckoned yet where no hardware sent it."""
    if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP:
        at = 14 + 4 * (frame[14] & 15) + 6
        return frame[:at] + b"\0\0" + frame[at + 2 :]
    return frame


def main(cable_name, air_name, delay):
    cable, air = open_interface(cable_name), open_interface(air_name)
    held = deque()
    print("forwards", flush=True)
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        for one in select.select([cable, air], [], [], wait)[0]:
            frame, address = one.recvfrom(65536)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            frame = without_checksum(frame)
            if one is air:
                cable.send(frame)
            elif frame[0] & 1:
                held.append((time.monotonic() + delay, frame))
            else:
                air.send(frame)
        while held and held[0][0] <= time.monotonic():
            air.send(held.popleft()[1])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
