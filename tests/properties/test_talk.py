"""With keys no handler starts for a message that is forged, altered, truncated, repeated, moved or unsealed."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from discoveryd.protocol import DROP_REASONS
from discoveryd.protocol.link import Source
from discoveryd.protocol.wire.talk import MessagePart
from tests.properties.strategies import FUZZ, mutated
from tests.protocol.segment import K1, ring
from tests.simulation.talkers import crowd

MESSAGES = 4


@cache
def recorded():
    """Return two hosts, and all that the first sent to the second, which was heard."""
    clock, segment, hosts = crowd(2, seed=1, keyring=ring(K1), settled=10.0)
    tape, carry = [], segment.send
    segment.send = lambda plug, to, datagram: (tape.append(datagram), carry(plug, to, datagram))
    for number in range(MESSAGES):
        hosts[0].say(payload=bytes([number]) * 700, is_question=number % 2 == 1)
        clock.run(clock.now + 1.0)
    assert len(hosts[1].handled) == MESSAGES
    return clock, hosts, tuple(tape)


@settings(max_examples=max(40, FUZZ // 4))
@given(st.data())
def test_no_handler_starts_for_what_a_stranger_sends(data):
    clock, (speaker, listener), tape = recorded()
    [link] = listener.plugs
    forged = MessagePart(
        realm="default", id=speaker.name, boot=speaker.node.boot, number=data.draw(st.integers(1, 99)), name="deploy"
    )
    datagram = data.draw(st.sampled_from(tape) | mutated(tape) | st.just(forged.encode()))
    address = data.draw(st.sampled_from(("10.0.0.1", "10.0.0.66")))
    before = listener.node.drops.copy()
    outcome = listener.node.receive(datagram, Source(address, link, data.draw(st.booleans())), clock.now)
    assert outcome.messages == ()
    dropped = listener.node.drops - before
    assert dropped.total() == 1
    assert {reason for reason, _ in dropped} <= set(DROP_REASONS)
