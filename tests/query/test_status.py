"""The keys of a status, all of them: programs read them, so they may only grow."""

from typing import get_args, get_origin, get_type_hints, is_typeddict

from discoveryd.query.engine_status import engine_status
from discoveryd.query.status import EngineStatus, Status
from tests.protocol.samples import hello, make_node, source

KEYS = """
ok schema isolated clones[] version uptime_s engine_s scan_error
node.id node.name node.boot node.realm node.tags.* node.services[].*
hello.port hello.interval_s hello.ttl_s
shared_addresses[].address shared_addresses[].link shared_addresses[].ids[]
new_boots.count new_boots.address
links[].name links[].family links[].address links[].prefix links[].broadcast links[].every links[].limited
links[].other_addresses links[].up_s
links[].sent links[].received links[].last_heard_s links[].echoed links[].last_echo_s
links[].unechoed links[].misses_echo links[].arp links[].last_error
peers.* table.rows table.limit table.routed table.routed_limit sent.* received.* events.* rtt_s.* loss.*
drops[].reason drops[].link drops[].count drop_sources[].reason drop_sources[].address drop_sources[].link
impaired[].id impaired[].name impaired[].address impaired[].link impaired[].two_way impaired[].loss
impaired[].hellos_arrive impaired[].hears_nobody impaired[].hears_itself flooded firewalls[]
findings[].code findings[].severity findings[].certainty findings[].title findings[].text findings[].subject
findings[].evidence.* findings[].remedy[] findings[].since_s
drop_sources[].detail drop_sources[].count drop_sources[].last_s
security.mode security.send_with security.keys[].id security.keys[].peers security.plain_peers
security.challenges.asked security.challenges.answered security.challenges.expired security.challenges.forgotten
security.challenges.refused security.challenges.too_short security.withheld
outside[].link outside[].address outside[].ours outside[].in_our_network outside[].listed outside[].two_way
families[].family families[].error unlinked[].name unlinked[].address unlinked[].prefix unlinked[].reason
routed.peers routed.former routed.candidates routed.named routed.met routed.refused
seeds[].seed seeds[].state seeds[].addresses[].address seeds[].addresses[].heard_s seeds[].error seeds[].next_try_s
rp_filter.dropped rp_filter.links[].link rp_filter.links[].mode
icmp[].target icmp[].sender icmp[].type icmp[].code icmp[].count icmp[].last_s
send_errors[].link send_errors[].target send_errors[].error
receive_buffer.bytes receive_buffer.wanted receive_buffer.quiet
messages.outgoing.sent messages.outgoing.pending messages.outgoing.ended[].status messages.outgoing.ended[].count
messages.outgoing.refused[].reason messages.outgoing.refused[].count
messages.incoming.received messages.incoming.repeated messages.incoming.running messages.incoming.handled
messages.incoming.refused[].reason messages.incoming.refused[].count
messages.datagrams.sent messages.datagrams.received messages.handlers[] messages.watchers
messages.programs[].name messages.programs[].why messages.programs[].taken messages.programs[].run
messages.programs[].failed messages.programs[].timeout
query.connections query.limit query.watchers query.refused query.denied query.registrations query.error
query.next_try_s
last_will.witness last_will.datagrams
metrics.requests metrics.refused metrics.error metrics.next_try_s
"""


def keys_of(kind, path=""):
    """Yield the paths of a type: a dot before the key of an object, ``*`` for any key, ``[]`` for each of a list."""
    if is_typeddict(kind):
        for key, value in get_type_hints(kind).items():
            yield from keys_of(value, f"{path}.{key}" if path else key)
    elif get_origin(kind) is list:
        yield from keys_of(get_args(kind)[0], f"{path}[]")
    elif get_origin(kind) is dict:
        yield f"{path}.*"
    else:
        yield path


def differences(value, kind, path=""):
    """Yield where a value has other keys than its type."""
    if is_typeddict(kind):
        hints = get_type_hints(kind)
        if set(value) != set(hints):
            yield path, set(value) ^ set(hints)
        for key in set(value) & set(hints):
            yield from differences(value[key], hints[key], f"{path}.{key}")
    elif get_origin(kind) is list:
        for each in value:
            yield from differences(each, get_args(kind)[0], f"{path}[]")


def test_the_keys_of_a_status_are_these():
    """A key may be added here; to take one away breaks programs that read it."""
    assert sorted(keys_of(Status)) == sorted(KEYS.split())


def test_the_engine_fills_in_all_of_its_sections():
    node = make_node(proved=True)
    for number in (1, 2):
        node.receive(hello(number, f"n{number}").encode(), source("10.0.0.7"), 1.0)
    node.receive(b"rubbish", source("10.0.0.9"), 1.0)
    found = engine_status(node, 2.0)
    assert found["links"]
    assert found["drops"]
    assert list(differences(found, EngineStatus)) == []
