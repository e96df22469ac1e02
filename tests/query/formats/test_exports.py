"""The formats for other programs: what each says of a few peers, and that hostile ones stay values."""

import json

import pytest

from discoveryd.query.formats.exports import EXPORT_FORMATS, ExportOptions, export_text
from discoveryd.query.formats.monitoring import CRITICAL, OK, WARNING, nagios_code
from discoveryd.query.formats.names import listed
from tests.query.formats.contracts import HOSTILE, text_of
from tests.query.samples import BARE, peer

DNS = {"name": "dns", "port": 53, "proto": "udp", "tags": {}}
SSH = {"name": "ssh", "port": 2222, "proto": "tcp", "tags": {}}
OTHER = peer(id="77", name="beta", boot="beta", address="10.0.0.3", addresses=["10.0.0.3", "fd00::3"], state="suspect",
             services=[SSH, DNS, {"name": "backup", "port": 0, "proto": "tcp", "tags": {}}], tags={"role": "db", "a-b": "1"})  # fmt: skip
OWN = peer(id="own", name="me", boot="me", address="10.0.0.1", addresses=["10.0.0.1"], services=[], tags={})
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize("bad", HOSTILE)
def test_a_hostile_record_is_harmless(bad):
    service = {"name": bad, "port": 1, "proto": bad, "tags": {bad: bad}}
    evil = peer(name=bad, id=bad, boot=bad, link=bad, tags={bad: bad, "role": bad}, services=[service], key=bad)
    for name in EXPORT_FORMATS:
        text_of(name, [evil, peer()], OWN)
        text_of(name, [evil | {"address": bad, "addresses": [bad]}, BARE])


@pytest.mark.parametrize("name", EXPORT_FORMATS)
def test_no_peer_is_a_whole_file(name):
    assert text_of(name, []) in {
        "prometheus": ("[]\n",), "hosts": ("# BEGIN discoveryd\n# END discoveryd\n",), "zabbix": ("[]\n",),
        "json": ('{"schema":1,"peers":[]}\n',), "nagios": ("CRITICAL - 0 up | up=0;;1:;0\n",),
        "ansible": ('{"_meta":{"hostvars":{}},"discoveryd":{"hosts":[]}}\n',), "csv": (export_text("csv", [], None, ExportOptions()),),
    }.get(name, ("",))  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXPORT_FORMATS.keys() - {"template"}))
def test_a_format_does_not_change_with_time(name):
    later = peer() | {"first_seen_s": 730.0, "last_heard_s": 0.1, "expires_s": 3.9, "rtt_ms": 0.3, "loss": 0.0, "interval_s": 1.0}
    assert text_of(name, [peer(), OTHER]) == text_of(name, [OTHER, later])


def test_prometheus_has_a_target_for_each_service_or_one_port():
    groups = json.loads(text_of("prometheus", [peer(), OTHER], OWN))
    assert [group["targets"] for group in groups] == [["10.0.0.3:2222"], ["10.0.0.3:53"], ["10.0.0.2:80"]]
    assert groups[2]["labels"] == {
        f"__meta_discoveryd_{key}": value
        for key, value in {
            "name": "alpha", "id": "9f3a", "state": "up", "kind": "node", "address": "10.0.0.2", "link": "eth0",
            "boot": "ab12cd34", "key": "", "self": "false", "clone": "false", "services": ",http,", "service": "http",
            "service_port": "80", "service_proto": "tcp", "service_tag_path": "/", "service_tagpresent_path": "true",
            "tag_role": "gpu", "tagpresent_role": "true",
        }.items()
    }  # fmt: skip
    groups = json.loads(text_of("prometheus", [peer(), OTHER], OWN, ExportOptions(port=9100)))
    assert [group["targets"] for group in groups] == [["10.0.0.3:9100"], ["10.0.0.2:9100"], ["10.0.0.1:9100"]]
    assert "__meta_discoveryd_service" not in groups[0]["labels"]
    assert [group["labels"]["__meta_discoveryd_self"] for group in groups] == ["false", "false", "true"]
    groups = json.loads(text_of("prometheus", [peer(), OTHER], None, ExportOptions(service="dns")))
    assert [group["targets"] for group in groups] == [["10.0.0.3:53"]]


def test_prometheus_takes_no_address_that_needs_a_zone():
    far = peer(address="fe80::1%eth0", addresses=["fe80::1%eth0", "fd00::1"])
    near = peer(id="n", address="fe80::2%eth0", addresses=["fe80::2%eth0"])
    assert [group["targets"] for group in json.loads(text_of("prometheus", [far, near]))] == [["[fd00::1]:80"]]


def test_a_service_cannot_pass_for_another():
    evil = peer(services=[{"name": "a,node", "port": 1, "proto": "tcp", "tags": {}}])
    (group,) = json.loads(text_of("prometheus", [evil]))
    assert group["labels"]["__meta_discoveryd_services"] == ",a_node,"


def test_ansible_groups_and_variables():
    found = json.loads(text_of("ansible", [peer(), OTHER], OWN))
    variables = found.pop("_meta")["hostvars"]
    assert {group: members["hosts"] for group, members in found.items()} == {
        "discoveryd": ["beta", "alpha", "me"], "discoveryd_state_suspect": ["beta"], "discoveryd_link_eth0": ["beta", "alpha", "me"],
        "discoveryd_service_ssh": ["beta"], "discoveryd_service_dns": ["beta"], "discoveryd_service_backup": ["beta"],
        "discoveryd_tag_role_db": ["beta"], "discoveryd_tag_a_b_1": ["beta"], "discoveryd_state_up": ["alpha", "me"],
        "discoveryd_service_http": ["alpha"], "discoveryd_tag_role_gpu": ["alpha"],
    }  # fmt: skip
    assert (variables["beta"]["ansible_host"], variables["beta"]["ansible_port"]) == ("10.0.0.3", 2222)
    assert variables["beta"]["discoveryd_tags"]["role"] == {"__ansible_unsafe": "db"}
    assert (variables["me"]["discoveryd_self"], variables["beta"]["discoveryd_self"]) == (True, False)
    one = json.loads(export_text("ansible", [peer(), OTHER], None, ExportOptions(host="beta")))
    assert one == variables["beta"]
    assert export_text("ansible", [peer()], None, ExportOptions(host="nobody")) == "{}\n"


def test_names_of_hosts_have_a_domain_and_dnsmasq_all_addresses():
    assert text_of("hosts", [peer(), OTHER]).splitlines()[1:-1] == ["10.0.0.3 beta.peers.internal", "10.0.0.2 alpha.peers.internal"]
    found = export_text("dnsmasq", [OTHER, peer(name="Alpha")], OWN, ExportOptions(domain="lan"))
    assert found == "10.0.0.3 beta.lan\nfd00::3 beta.lan\n10.0.0.2 alpha.lan\n10.0.0.1 me.lan\n"


def test_ssh_has_the_name_the_address_and_the_id():
    found = text_of("ssh", [peer(name="github.com"), OTHER, peer(id="z", name="zoe", boot="z", address="fe80::1%eth0", addresses=[])])
    assert found == (
        "Host beta beta.peers.internal\n    HostName 10.0.0.3\n    HostKeyAlias discoveryd-77\n    Port 2222\n\n"
        "Host github.com.peers.internal\n    HostName 10.0.0.2\n    HostKeyAlias discoveryd-9f3a\n\n"
        "Host zoe zoe.peers.internal\n    HostName fe80::1%%eth0\n    HostKeyAlias discoveryd-z\n"
    )


@pytest.mark.parametrize(
    ("tag", "key", "line"),
    [
        (KEY, "3fa29c01", f"discoveryd-9f3a,alpha.peers.internal ssh-ed25519 {KEY}\n"),
        (f"ssh-ed25519 {KEY}", "3fa29c01", f"discoveryd-9f3a,alpha.peers.internal ssh-ed25519 {KEY}\n"),
        (KEY, None, ""),
        (f"ssh-rsa {KEY}", "k", ""), (f"* ssh-ed25519 {KEY}", "k", ""), (KEY[:20], "k", ""), ("AAAA", "k", ""), ("", "k", ""),
        (f"{KEY}\n@cert-authority *", "k", ""),
    ],
)  # fmt: skip
def test_a_host_key_is_known_from_a_sealed_record_only(tag, key, line):
    assert text_of("known-hosts", [peer(key=key, tags={"sshhostkey": tag})]) == line


@pytest.mark.parametrize(("host", "lines"), [("discoveryd-9f3a", 1), ("alpha", 1), ("alpha.peers.internal", 1), ("10.0.0.2", 1), ("x", 0)])
def test_host_keys_of_one_name(host, lines):
    found = export_text("known-hosts", [peer(key="k", tags={"sshhostkey": KEY})], None, ExportOptions(host=host))
    assert found.count("\n") == lines


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({}, OK, "OK - 1 up (beta suspect) | up=1;;1:;0\n"),
        ({"warning": 2}, WARNING, "WARNING - 1 up (beta suspect) | up=1;2:;1:;0\n"),
        ({"warning": 3, "critical": 2}, CRITICAL, "CRITICAL - 1 up (beta suspect) | up=1;3:;2:;0\n"),
        ({"critical": 0}, OK, "OK - 1 up (beta suspect) | up=1;;;0\n"),
    ],
)
def test_nagios_counts_the_peers_that_are_up(options, code, text):
    made = ExportOptions(**options)
    assert text_of("nagios", [peer(), OTHER], OWN, made) == text
    assert nagios_code(listed([peer(), OTHER], OWN), made) == code


def test_nagios_names_a_few():
    found = text_of("nagios", [peer(id=f"{number:02}", boot=f"{number:02}", name=None, state="down") for number in range(20)])
    assert found.startswith("CRITICAL - 0 up (peer-00 down, ")
    assert ", 12 more) | up=0" in found


def test_zabbix_has_macros():
    assert json.loads(text_of("zabbix", [OTHER])) == [{
        "{#PEER}": "beta", "{#ADDRESS}": "10.0.0.3", "{#ID}": "77", "{#STATE}": "suspect", "{#KIND}": "node",
        "{#LINK}": "eth0", "{#BOOT}": "beta", "{#SERVICES}": "ssh:2222,dns:53/udp,backup", "{#SELF}": "0",
        "{#TAG_ROLE}": "db", "{#TAG_A_B}": "1",
    }]  # fmt: skip


def test_csv_and_json():
    lines = text_of("csv", [OTHER, peer(name="=1+1", tags={"a": "x,y"})], OWN).splitlines()
    assert lines[1:] == [
        "beta,77,suspect,node,10.0.0.3,10.0.0.3 fd00::3,eth0,beta,ssh:2222 dns:53/udp backup,role=db a-b=1,,0,false,,false",
        '9f3a,9f3a,up,node,10.0.0.2,10.0.0.2,eth0,ab12cd34,http:80,"a=x,y",,0,false,,false',
        "me,own,up,node,10.0.0.1,10.0.0.1,eth0,me,,,,0,false,,true",
    ]
    found = json.loads(text_of("json", [peer()], OWN))
    gone = {"first_seen_s", "last_heard_s", "expires_s", "rtt_ms", "loss", "interval_s", "ttl_s"}
    assert found == {"schema": 1, "self": {key: OWN[key] for key in OWN.keys() - gone}, "peers": [{key: peer()[key] for key in peer().keys() - gone}]}
