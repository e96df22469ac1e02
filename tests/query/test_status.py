"""The keys of a status, all of them: programs read them, so they may only grow."""

from typing import get_type_hints

from discoveryd.query.status import EngineStatus, Status, engine_status
from tests.protocol.samples import hello, make_node, source

WRITTEN = """
ok schema isolated clones[] version uptime_s engine_s scan_error
node.id node.name node.boot node.realm node.tags.* node.services[].*
hello.port hello.interval_s hello.ttl_s
shared_addresses[].address shared_addresses[].link shared_addresses[].ids[]
new_boots.count new_boots.address
links[].name links[].address links[].prefix links[].broadcast links[].limited links[].other_addresses links[].up_s
links[].sent links[].received links[].last_heard_s links[].last_error
peers.* table.rows table.limit table.routed table.routed_limit sent.* received.* events.* rtt_s.* loss.*
drops[].reason drops[].link drops[].count
security.mode security.send_with security.keys[].id security.keys[].peers security.plain_peers
security.challenges.asked security.challenges.answered security.challenges.expired security.challenges.forgotten
security.challenges.refused security.challenges.too_short security.withheld
outside[].link outside[].address outside[].ours outside[].in_our_network outside[].listed outside[].two_way
rp_filter.dropped rp_filter.links[].link rp_filter.links[].mode
send_errors[].link send_errors[].target send_errors[].error
receive_buffer.bytes receive_buffer.wanted
query.connections query.limit query.watchers query.refused query.denied query.registrations query.error
query.next_try_s
metrics.requests metrics.refused metrics.error metrics.next_try_s
"""
KEYS = frozenset(WRITTEN.split())
"""A key may be added here; to take one away breaks programs that read it."""


def keys_of(value, path=""):
    """Yield the paths of a value: a dot before the key of an object, ``*`` for any key, ``[]`` for each of a list."""
    if f"{path}.*" in KEYS:
        yield f"{path}.*"
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from keys_of(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for each in value:
            yield from keys_of(each, f"{path}[]")
    else:
        yield path


def test_the_sections_of_a_status_are_these():
    assert {key.partition(".")[0].removesuffix("[]") for key in KEYS} == set(get_type_hints(Status))


def test_the_engine_fills_in_all_of_its_sections():
    node = make_node(proved=True)
    for seq in range(1, 20):  # as long as two ids must be heard to have one address
        for number in (1, 2):
            node.receive(hello(number, f"n{number}", seq).encode(), source("10.0.0.7"), seq * 0.8)
    node.receive(b"rubbish", source("10.0.0.9"), 16.0)
    wanted = {key for key in KEYS if key.partition(".")[0].removesuffix("[]") in get_type_hints(EngineStatus)}
    not_here = {"clones[]", "node.services[].*", "security.keys[].id", "security.keys[].peers"}
    assert wanted ^ set(keys_of(engine_status(node, 16.0))) == not_here
