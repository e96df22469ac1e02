"""What tests of introductions share: fleets where no broadcast passes, and what was sent in them."""

from collections import Counter

from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from tests.protocol.segment import K1, Segment, ring

KEYED = ring(K1)
ALL = ("10.0.0.0/8",)
SEED = "10.0.0.1"


def routed_fleet(size, keyring=KEYED, *, seed=1, seeds=(SEED,), start=True, **more):
    """Return a network without broadcast and its stations, all with the first as their seed."""
    segment = Segment(seed, routed=True)
    stations = [segment.add(keyring, parameters=Parameters(seeds=seeds, **more)) for _ in range(size)]
    for station in stations if start else ():
        station.start()
    return segment, stations


def plain_fleet(size, introduce=ALL, **more):
    return routed_fleet(size, NO_KEYS, introduce=introduce, **more)


def busiest(times, within=1.0):
    """Return the most of these moments in any span of so many seconds."""
    times, first, most = sorted(times), 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - within:
            first += 1
        most = max(most, last - first + 1)
    return most


def kinds(tape, kind):
    """Return time, sender, target and datagram of a plain kind."""
    return [one for one in tape if one[3].startswith(kind + b"|")]


def counted(tape):
    """Count what was sent, by target."""
    return Counter(to for _, _, to, _ in tape)
