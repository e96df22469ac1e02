"""What tests of sealed segments share."""



from discoveryd.protocol.addresses import pack_address
from tests.protocol.segment import K1, ring

TTL = 4.0
EVIL = pack_address("10.0.0.66")
OFF, ACCEPT, REQUIRE = (ring(K1, mode=mode) for mode in ("off", "accept", "require"))


def drain(segment, victim, datagrams, sender="10.0.0.66"):
    """Let somebody send these to a station, and give what is counted of them, and what was told."""
    before, told = victim.node.drops.copy(), len(victim.told)
    for datagram in datagrams:
        segment.deliver(datagram, sender, victim)
    segment.run(0.001)
    return {reason: count for (reason, _), count in (victim.node.drops - before).items()}, victim.told[told:]
