import json

import pytest

from discoveryd.errors import ConfigError, RecordTooLong, WireError
from discoveryd.protocol.bounded import MAX_REUSED, MAX_REUSED_TAGS, reuse
from discoveryd.protocol.wire.record import (
    MAX_RECORD,
    Record,
    Service,
    decode_record,
    digest_of,
    service_length,
    service_without_tags,
    tags_of,
)


def refused(encoded):
    with pytest.raises(WireError) as caught:
        decode_record(encoded)
    return caught.value.reason


def test_the_shortest_record():
    record = Record(name="web2")
    assert record.encoded == b'{"name":"web2"}'
    assert record.digest == "ba158d96e1f06bbb"


def test_a_record_with_tags_and_services():
    record = Record(
        name="web1",
        tags={"rack": "b2"},
        services=(Service(name="http", port=80), Service(name="dns", port=53, proto="udp", tags={"v": "1"})),
    )
    assert record.encoded == (
        b'{"name":"web1","tags":{"rack":"b2"},"services":[{"name":"http","port":80},'
        b'{"name":"dns","port":53,"proto":"udp","tags":{"v":"1"}}]}'
    )
    assert decode_record(record.encoded) == record
    assert decode_record(record.encoded).digest == record.digest == digest_of(record.encoded)


def test_json_form_of_a_service_names_everything():
    assert Service(name="http", port=80).to_json() == {"name": "http", "port": 80, "proto": "tcp", "tags": {}}


def test_the_separator_and_all_but_ascii_are_escaped():
    record = Record(name="a|b", tags={"Ort": "Köln 🚀"})
    assert b"|" not in record.encoded
    assert record.encoded == rb'{"name":"a\u007cb","tags":{"Ort":"K\u00f6ln \ud83d\ude80"}}'
    assert decode_record(record.encoded) == record


def test_a_record_cannot_be_changed():
    tags = {"a": "b"}
    record = Record(name="x", tags=tags, services=(Service(name="s", port=1, tags=tags),))
    tags["a"] = "c"
    assert record.tags == record.services[0].tags == {"a": "b"}
    with pytest.raises(TypeError):
        record.tags["a"] = "c"


def test_equal_records_have_equal_hashes():
    assert hash(Record(name="x", tags={"a": "b"})) == hash(Record(name="x", tags={"a": "b"}))


def test_a_list_of_services_becomes_a_tuple():
    assert Record(name="x", services=[Service(name="s", port=1)]).services == (Service(name="s", port=1),)


def test_the_longest_record_and_one_byte_more():
    empty = len(Record(name="x", tags={"a": "", "b": "", "c": ""}).encoded)
    fill = {"a": "v" * 255, "b": "v" * 255, "c": "v" * (MAX_RECORD - empty - 510)}
    assert len(Record(name="x", tags=fill).encoded) == MAX_RECORD
    with pytest.raises(RecordTooLong) as caught:
        Record(name="xy", tags=fill)
    assert caught.value.excess == 1
    assert caught.value.problems == (
        "name, tags and services take 701 bytes, 1 more than the 700 that fit into a HELLO: shorten or remove some",
    )


@pytest.mark.parametrize(
    "service",
    [Service(name="s", port=1), Service(name='|ü"', port=65535, proto="udp", tags={"a|": "b", "ü": ""})],
)
def test_service_length_is_what_a_service_adds(service):
    one = Service(name="one", port=1)
    without, with_it = (len(Record(name="x", services=services).encoded) for services in ([one], [one, service]))
    assert service_length(service) == with_it - without


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Record(name=""), "name: must be 1 to 64 printable characters, not ''"),
        (lambda: Record(name="a\nb"), r"name: must be 1 to 64 printable characters, not 'a\nb'"),
        (lambda: Record(name="a\x1b[31m"), r"name: must be 1 to 64 printable characters, not 'a\x1b[31m'"),
        (lambda: Record(name="a\u202eb"), r"name: must be 1 to 64 printable characters, not 'a\u202eb'"),
        (lambda: Record(name=5), "name: must be 1 to 64 printable characters, not 5"),
        (lambda: Record(name="x", tags=["a"]), "tags: must be a mapping of text to text, not ['a']"),
        (lambda: Record(name="x", tags={"a": 1}), "tags.a: must be 1 to 255 printable characters, not 1"),
        (lambda: Record(name="x", tags={"": "1"}), "tags: key: must be 1 to 64 printable characters, not ''"),
        (lambda: Service(name="", port=1), "services: name: must be 1 to 64 printable characters, not ''"),
        (lambda: Service(name="s", port=65536), "services.s.port: must be 0 to 65535, not 65536"),
        (lambda: Service(name="s", port=True), "services.s.port: must be 0 to 65535, not True"),
        (lambda: Service(name="s", port=1, proto="x" * 17), "services.s.proto: must be 1 to 16 printable characters, not 'xxxxxxxxxxxxxxxxx'"),
        (lambda: Service(name="s", port=1, tags={"a": None}), "services.s.tags.a: must be 1 to 255 printable characters, not None"),
    ],
)
def test_a_fault_of_a_record_is_named(make, problem):
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.problems == (problem,)


def test_each_fault_of_a_record_is_named():
    with pytest.raises(ConfigError) as caught:
        Record(name="", tags={"a": 1, "b": 2})
    assert len(caught.value.problems) == 3


def test_keys_of_a_later_release_are_ignored_but_digested():
    encoded = b'{"name":"x","colour":"red","services":[{"name":"s","port":1,"weight":3}]}'
    record = decode_record(encoded)
    assert record.services == (Service(name="s", port=1),)
    assert record.encoded == encoded
    assert record.digest == digest_of(encoded) != Record(name="x", services=record.services).digest


def test_what_many_peers_say_is_kept_once():
    encoded = b'{"name":"%b","tags":{"role of it":"a worker"},"services":[{"name":"http","port":80}]}'
    anna, bert = (decode_record(encoded % name) for name in (b"anna", b"bert"))
    assert anna.tags is bert.tags
    assert anna.services[0] is bert.services[0]
    assert anna.services[0].tags is Record(name="carl").tags
    carl = decode_record(b'{"name":"carl","tags":{"role of it":"a worker","serial":"1234"}}')
    assert carl.tags["role of it"] is anna.tags["role of it"]
    assert next(one for one in carl.tags if one == "role of it") is next(iter(anna.tags))


def test_a_port_that_equals_a_known_one_is_still_no_number():
    encoded = b'{"name":"x","services":[{"name":"s","port":%b}]}'
    assert decode_record(encoded % b"1").services[0].port == 1
    assert refused(encoded % b"true") == refused(encoded % b"1.0") == "malformed"


def test_what_is_kept_once_is_bounded():
    """Strangers may choose it: what was met longest ago is forgotten, and what is in use is not."""
    common = decode_record(b'{"name":"x","tags":{"role of it":"a worker"}}')
    for number in range(3 * MAX_REUSED):
        decode_record(b'{"name":"x","tags":{"role of it":"%d"},"services":[{"name":"%d","port":1}]}' % (number, number))
        if number % (MAX_REUSED // 2) == 0:
            again = decode_record(b'{"name":"x","tags":{"role of it":"a worker"}}')
            assert again.tags["role of it"] is common.tags["role of it"]
    assert reuse.cache_info().currsize == service_without_tags.cache_info().currsize == MAX_REUSED
    assert tags_of.cache_info().currsize == MAX_REUSED_TAGS


def test_a_record_that_fits_on_the_wire_is_accepted():
    """Were the transport named when it is encoded again, these 30 services would take over 700 bytes."""
    services = [{"name": "s", "port": 1}] * 30
    encoded = json.dumps({"name": "x", "services": services}, separators=(",", ":")).encode()
    assert len(encoded) == 685
    assert len(decode_record(encoded).services) == 30


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"3",
        b'"name"',
        b'{"name":',
        b'{"name":"x"}{',
        b'{"name":"\xc3\xa4"}',
        b'{"name":"\xff"}',
        b'{"name":"\\ud800"}',
        b'{"name":"\\u0000"}',
        b'{"name":null}',
        b'{"name":NaN}',
        b'{"name":["x"]}',
        b'{"name":"x","tags":null}',
        b'{"name":"x","tags":{"a":1e999}}',
        b'{"name":"x","services":null}',
        b'{"name":"x","services":{"a":1}}',
        b'{"name":"x","services":"ab"}',
        b'{"name":"x","services":[null]}',
        b'{"name":"x","services":[[]]}',
        b'{"name":"x","services":[{"name":"s"}]}',
        b'{"name":"x","services":[{"name":"s","port":1.0}]}',
        b'{"name":"x","services":[{"name":"s","port":-Infinity}]}',
        b'{"name":"x","services":[{"name":"s","port":' + b"9" * 600 + b"}]}",
        b"[" * 700,
        b'{"a":' * 140,
        b'{"name":"x","tags":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
def test_a_malformed_record_is_dropped(encoded):
    assert refused(encoded) == "malformed"


def test_a_record_of_701_bytes_is_dropped():
    assert refused(b'{"name":"x"}' + b" " * MAX_RECORD) == "too-long"
