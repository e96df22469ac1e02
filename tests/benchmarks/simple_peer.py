"""The floor: the least in plain Python that makes machines know each other. Run by the benchmarks.

    python simple_peer.py OWN_ADDRESS BROADCAST_ADDRESS PORT

Broadcasts each 0.8 s, answers whom it hears for the first time, prints each address it comes to know.
"""

import select
import signal
import socket
import sys
import time

own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
own.bind(("", int(sys.argv[3])))
everybody = (sys.argv[2], int(sys.argv[3]))
known = {sys.argv[1]}
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
due = time.monotonic()
try:
    while True:
        if time.monotonic() >= due:
            own.sendto(b"HELLO|", everybody)
            due += 0.8
        if select.select([own], [], [], max(0.0, due - time.monotonic()))[0]:
            datagram, source = own.recvfrom(1024)
            if source[0] not in known and datagram == b"HELLO|":
                known.add(source[0])
                own.sendto(b"HELLO|", source)
                print(source[0], flush=True)
finally:
    own.sendto(b"BYE|", everybody)
