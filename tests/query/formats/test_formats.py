"""What every writer promises, held by each of ours and by one that a test adds; and what is particular to two."""

import json
from functools import partial

import pytest

from discoveryd.cli.ctl_values import COLUMNS
from discoveryd.query.formats import columns, printable, printable_json, reply
from discoveryd.query.formats.table import Screen, peers_table
from tests.query.samples import BARE, peer


def hosts(peers):
    """Return a format of another program: lines of a hosts file."""
    return "\n".join(f"{printable(one['address'])} {printable(one['name'] or one['id'])}" for one in peers)


WRITERS = [
    hosts,
    partial(peers_table, screen=Screen()),
    partial(peers_table, screen=Screen(40), wide=True, keyed=True),
    reply,
    *(partial(columns, names=(name,)) for name in COLUMNS),
]
EVIL = ("\x1b[2J", "\u202eabc", "\x07", "\x9b1m", "\ud800")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("bad", EVIL)
def test_no_writer_lets_a_peer_act_on_a_terminal(writer, bad):
    service = {"name": bad, "port": 1, "proto": bad, "tags": {bad: bad}}
    text = writer([peer(name=bad, tags={bad: bad}, link=bad, services=[service], boot=bad, id=bad, address=bad)])
    assert text
    assert bad not in text
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_remembers_nothing_and_ends_no_line(writer):
    peers = [BARE, peer(), peer(brand_new="key")]
    first = writer(peers)
    writer([peer(name="other")])
    assert writer(peers) == first
    assert not first.endswith("\n")
    assert "10.0.0.2" in first or getattr(writer, "func", None) is columns


def test_json_is_the_reply_to_list():
    assert json.loads(reply([peer()])) == {"ok": True, "schema": 1, "peers": [peer()]}


@pytest.mark.parametrize("bad", ["\x1b[2J", "\u202eabc", "\x7f", "\x9b1m"])
def test_json_that_a_terminal_would_obey_is_rewritten(bad):
    text = json.dumps({"name": bad, "of": "Zoë"}, ensure_ascii=False).replace("\x1b", "\\u001b")
    shown = printable_json(text.encode())
    assert shown.isprintable()
    assert json.loads(shown) == {"name": bad, "of": "Zoë"}
    assert printable_json('{"of":"Zoë"}'.encode()) == '{"of":"Zoë"}'


def test_printable_escapes_what_could_command_a_terminal():
    assert printable("a\x1b[31m\x85\u202e ä'\\") == "a\\x1b[31m\\x85\\u202e ä'\\"
