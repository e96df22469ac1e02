"""What each format promises to the program that reads it, whatever a peer calls itself: a reader of our own each."""

import csv
import json
import re
from base64 import b64decode

from discoveryd.query.formats.exports import EXPORT_FORMATS, ExportOptions, export_text
from discoveryd.query.formats.names import usable

DOMAIN = "peers.internal"
LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
NAME = rf"{LABEL}(?:\.{LABEL})*"
ADDRESS = r"(?:[0-9.]{7,15}|[0-9A-Fa-f:]{2,39}(?:%[A-Za-z0-9._-]+)?)"
OPTIONS = ExportOptions(template="{name} {address} {id} {tag.role}")

HOSTILE = (
    "{{ lookup('pipe', 'touch /tmp/owned') }}", "{% raw %}", "a\nHost *", "a\r\nb", "-oProxyCommand=touch /tmp/owned",
    "%h", "$(touch /tmp/owned)", "`id`", "Host *", "*", "?", "!a", "__address__", "__ansible_vault", "__ansible_unsafe",
    "ansible_connection", "<script>alert(1)</script>", "localhost", "LOCALHOST", "localhost.localdomain", "all",
    "ungrouped", "_meta", "discoveryd", "127.0.0.1", "10.0.0.1", "127.1", "0x7f000001", "::1", "github.com", "a|b=1;;",
    "=1+1", "@SUM(A1)", '"', "'", "a,b", "a b", "a#b", "# END discoveryd", "\x1b[2J", "\u202eabc", "\ud800", "{#MACRO}",
    "{$SECRET}", "../../etc/passwd", "", ".", "..", "a.", "a..b", "-", "a-", "_a", "x" * 64, "a\tb", "\0",
)  # fmt: skip


def text_of(name, peers, own=None, options=OPTIONS):
    """Return a format of the peers, after its contract was checked."""
    text = export_text(name, peers, own, options)
    assert text.isascii() or name in ("csv", "template")
    assert all(line.isprintable() for line in text.split("\n"))
    assert text == "" or (text.endswith("\n") and not text.endswith("\n\n"))
    CONTRACTS[name](text, [*([own] if own else []), *peers])
    return text


def heard(peers):
    return {one for peer in peers for one in (peer["address"], *peer["addresses"])}


def prometheus(text, peers):
    for group in json.loads(text):
        assert group.keys() == {"targets", "labels"}
        (target,) = group["targets"]
        host, _, port = target.rpartition(":")
        assert host.strip("[]") in heard(peers)
        assert "%" not in target
        assert 1 <= int(port) <= 65535
        assert all(re.fullmatch("__meta_discoveryd_[A-Za-z0-9_]+", key) for key in group["labels"])
        assert all(isinstance(value, str) for value in group["labels"].values())


def is_marked(value):
    """Return whether each text is marked as unsafe, and no key is one that Ansible's reader obeys."""
    if isinstance(value, dict):
        return value.keys() == {"__ansible_unsafe"} or all(
            is_marked(inner) and not key.startswith("__") and "{{" not in key and "{%" not in key
            for key, inner in value.items()
        )
    return all(map(is_marked, value)) if isinstance(value, list) else not isinstance(value, str)


def ansible(text, peers):
    found = json.loads(text)
    variables = found.pop("_meta")["hostvars"]
    for host, values in variables.items():
        assert re.fullmatch(NAME, host)
        assert host.lower() not in ("localhost", "all", "ungrouped")
        assert re.fullmatch(ADDRESS, values.pop("ansible_host"))
        assert isinstance(values.pop("ansible_port", 22), int)
        assert all(key.startswith("discoveryd_") for key in values)
        assert is_marked(values)
    assert len({host.lower() for host in variables}) == len(variables)
    for group, members in found.items():
        assert re.fullmatch("discoveryd[A-Za-z0-9_]*", group)
        assert members.keys() == {"hosts"}
        assert set(members["hosts"]) <= variables.keys()


def dnsmasq(text, peers):
    lines = text.splitlines()
    for line in lines:
        address, name = line.split(" ")
        assert usable(address) in heard(peers)
        assert re.fullmatch(rf"{NAME}\.{re.escape(DOMAIN)}", name)
        assert all(len(label) <= 63 for label in name.split("."))
    assert len(set(lines)) == len(lines)


def hosts(text, peers):
    first, *lines, last = text.splitlines()
    assert (first, last) == ("# BEGIN discoveryd", "# END discoveryd")
    dnsmasq("\n".join(lines), peers)


def ssh(text, peers):
    for block in filter(None, text.strip("\n").split("\n\n")):
        shape = rf"Host (?:({LABEL}) )?({NAME})\.peers\.internal\n    HostName ({ADDRESS})\n    HostKeyAlias discoveryd-[A-Za-z0-9._-]+"
        found = re.fullmatch(rf"{shape}(\n    Port \d+)?", block.replace("%%", "%"))
        assert found, block
        assert found[1] in (None, found[2])
        assert found[3] in heard(peers)


def known_hosts(text, peers):
    for line in text.splitlines():
        names, kind, key = line.split(" ")
        assert re.fullmatch(rf"discoveryd-[A-Za-z0-9._-]+,{NAME}\.peers\.internal", names)
        assert b64decode(key, validate=True)[4:].startswith(kind.encode())
        assert any(peer["key"] for peer in peers)


def json_text(text, peers):
    found = json.loads(text)
    everyone = [*found["peers"], *([found["self"]] if "self" in found else [])]
    assert sorted(map(str, (one["id"] for one in everyone))) == sorted(map(str, (one["id"] for one in peers)))


def csv_text(text, peers):
    rows = list(csv.reader(text.splitlines()))
    assert len(rows) == 1 + len(peers)
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


def zabbix(text, peers):
    rows = json.loads(text)
    assert len(rows) == len(peers)
    for row in rows:
        assert all(re.fullmatch(r"\{#[A-Z0-9_]+\}", key) for key in row)
        assert all(re.fullmatch("[A-Za-z0-9 ._:/@,=+%-]*", value) for value in row.values())


def nagios(text, peers):
    assert re.fullmatch(r"(OK|WARNING|CRITICAL) - \d+ up( \([^|]*\))? \| up=\d+;(\d+:)?;(\d+:)?;0\n", text)


def template(text, peers):
    assert len(text.splitlines()) == len(peers)


CONTRACTS = {
    "prometheus": prometheus, "ansible": ansible, "hosts": hosts, "dnsmasq": dnsmasq, "ssh": ssh,
    "known-hosts": known_hosts, "json": json_text, "csv": csv_text, "zabbix": zabbix, "nagios": nagios,
    "template": template,
}  # fmt: skip
assert CONTRACTS.keys() == EXPORT_FORMATS.keys()
