"""``discoveryctl history`` and ``availability``, and what ``show`` and ``doctor`` say of the past."""

import json
import re

import pytest

from discoveryd.ctl import main
from discoveryd.ctl.history import availability_text, share
from discoveryd.query.formats.table import Screen
from tests.ctl.played import PATHS, Daemon, ask, peers_reply, refusal
from tests.query.samples import STATUS, peer

DAY = 86_400.0
WHO = {"id": "9f3a0000", "name": "bert"}
PLACE = {"address": "10.0.0.7", "link": "eth0"}
KNOWN = {**WHO, **PLACE, "tags": {}, "services": [], "first_seen_s": 92 * DAY, "state": "up", "last_seen_s": 0.0}
COUNTS = {
    "availability": 0.999995, "seen_s": 604_800.0, "up_s": 604_797.0, "left_s": 0.0, "down_s": 3.0, "downs": 1, "restarts": 2,
    "longest_s": 3.0,
}  # fmt: skip


def happened(kind, age, reason="its process died"):
    return {"age_s": age, "at": "2026-11-27T06:34:39.000Z", "event": kind, **WHO, **PLACE, "reason": reason}


def stay(start, end=None, ended="down"):
    up = start - (end or 0.0)
    return {**WHO, **PLACE, "boot": "b1", "start_s": start, "start": "", "end_s": end, "end": None, "up_s": up,
            "ended": ended if end else None, "reason": None}  # fmt: skip


def past(**changed):
    reply = {"ok": True, "schema": 1, "since_s": 604_800.0, "complete": True, "peers": [], "events": [], "stays": [], "absences": []}
    return reply | changed


def told(capsys, reply, *words):
    with Daemon([[reply]]) as daemon:
        return ask(capsys, daemon, *words), daemon.requests


def test_what_happened_is_told_with_how_long_it_lasted(capsys):
    events = [happened("down", 7200.0), happened("joined", 7188.0, "back with a new boot on eth0"), happened("left", 60.0, "said goodbye")]
    stays = [stay(10_800.0, 7201.0), stay(7188.0, 60.0, "left")]
    absences = [{"start_s": 600.0, "end_s": 559.0, "kind": "stopped"}, {"start_s": 10.0, "end_s": None, "kind": "isolated"}]
    (code, out, _), requests = told(capsys, past(events=events, stays=stays, absences=absences), "history")
    lines = [re.sub(r"^\S+ \S+", "WHEN", line) for line in out.splitlines()]
    assert code == 0
    assert lines[1:] == [
        "WHEN  bert  down      its process died; it was up for 59m",
        "WHEN  bert  joined    back with a new boot on eth0; it was away for 13s",
        "WHEN  -     stopped   this node was stopped for 41s",
        "WHEN  bert  left      said goodbye; it was up for 1h",
        "WHEN  -     isolated  this node was cut off, and still is",
    ]
    assert requests == [{"op": "history", "since_s": 604_800.0}]


def test_one_peer_is_described_first(capsys):
    gone = KNOWN | {"state": "left", "last_seen_s": 3 * DAY}
    (code, out, _), requests = told(capsys, past(peers=[gone], events=[happened("left", 3 * DAY, "said goodbye")]), "history", "bert", "--since", "30d")
    assert code == 0
    assert out.startswith("bert (9f3a0000): last seen 3d ago at 10.0.0.7 on eth0, said goodbye; first seen 92d ago\n")
    assert requests == [{"op": "history", "since_s": 30 * DAY, "peer": "bert"}]


def test_a_quiet_time_is_told(capsys):
    assert told(capsys, past(), "history")[0] == (1, "", "nothing happened in the last 7d\n")
    (code, out, err), _ = told(capsys, past(peers=[KNOWN]), "history", "bert")
    assert (code, out) == (0, "bert (9f3a0000) is up, at 10.0.0.7 on eth0; first seen 92d ago\n")
    assert err == "nothing happened in the last 7d\n"


def test_a_past_too_long_for_a_reply_is_told(capsys):
    (_, _, err), _ = told(capsys, past(complete=False, events=[happened("down", 9.0)]), "history")
    assert err == "only the newest are shown: ask for a shorter time, or for one peer\n"


def test_json_is_the_reply_as_it_came(capsys):
    reply = past(stays=[stay(10.0)])
    (code, out, _), _ = told(capsys, reply, "history", "--json")
    assert (code, json.loads(out)) == (0, reply)
    reply = past(peers=[KNOWN | COUNTS], watched_s=5.0)
    (code, out, _), _ = told(capsys, reply, "availability", "--json")
    assert (code, json.loads(out)) == (0, reply)


def test_availability_is_a_table(capsys):
    others = [
        KNOWN | COUNTS | {"name": None, "id": "77aa0000", "availability": None, "state": "down", "last_seen_s": 7200.0, "downs": 0},
        KNOWN | COUNTS | {"name": "cora", "availability": 1.0, "down_s": 0.0, "longest_s": 0.0, "downs": 0, "restarts": 0},
    ]
    reply = {"ok": True, "schema": 1, "since_s": 30 * DAY, "watched_s": 29 * DAY, "peers": [KNOWN | COUNTS, *others]}
    (code, out, _), requests = told(capsys, reply, "availability", "--tag", "role=db", "--name", "*")
    assert code == 0
    assert out.splitlines() == [
        "NAME      STATE  UP %    DOWNS  DOWN  LONGEST  RESTARTS  LAST",
        "bert      up     99.999  1      3.0s  3.0s     2         now",
        "77aa0000  down   -       0      3.0s  3.0s     2         2h ago",
        "cora      up     100     0      -     -        0         now",
        "",
        "of the last 30d, of which this node watched 29d",
    ]
    assert requests == [{"op": "availability", "since_s": 30 * DAY, "name": "*", "tags": {"role": "db"}}]
    assert all(len(line) <= 40 for line in availability_text(reply, Screen(40)).splitlines())


def test_nobody_remembered_is_told(capsys):
    reply = {"ok": True, "schema": 1, "since_s": 1.0, "watched_s": 1.0, "peers": []}
    assert told(capsys, reply, "availability")[0] == (1, "", "no peer is remembered that matches\n")


def test_a_daemon_without_a_history_is_told(capsys):
    (code, _, err), _ = told(capsys, past() | refusal("off", "there is no history: history.keep is off"), "history")
    assert (code, err) == (2, "discoveryctl: there is no history: history.keep is off\n")


@pytest.mark.parametrize(("found", "text"), [(1.0, "100"), (0.9999999, "99.999"), (0.5, "50.000"), (0.0, "0.000"), (None, "-")])
def test_a_share_is_never_told_as_more_than_it_is(found, text):
    assert share(found) == text


def shown(capsys, reply):
    with Daemon([[peers_reply(peer(name="bert") | {"paths": PATHS})], [reply]]) as daemon:
        return ask(capsys, daemon, "show", "bert")[1]


def test_show_tells_of_the_last_week(capsys):
    out = shown(capsys, past(peers=[KNOWN | COUNTS]))
    assert "first seen  92d ago; 2 restarts, 1 outage, up 99.999 % in the last 7 days\n" in out
    fresh = COUNTS | {"restarts": 0, "downs": 0, "availability": None}
    assert "first seen  92d ago\n" in shown(capsys, past(peers=[KNOWN | fresh]))


def test_doctor_tells_when_a_missing_peer_was_seen_last(capsys):
    report = {
        "ok": True, "schema": 1, "verdict": "peer-unknown", "certainty": "possible", "checks": [], "peer": "bert", "peers": [],
        "findings": [],
    }  # fmt: skip
    gone = KNOWN | {"state": "down", "last_seen_s": 3 * DAY}
    with Daemon([[report], [STATUS], [past(peers=[gone])]]) as daemon:
        _, out, _ = ask(capsys, daemon, "doctor", "bert")
    assert "The history knows it: bert (9f3a0000): last seen 3d ago at 10.0.0.7 on eth0, fell silent; first seen 92d ago" in out


# --- maintenance and forget ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reply", "text"),
    [
        (["maintenance", "bert", "--for", "1h"], {"for_s": 3600.0}, "bert is under maintenance for 1h: nobody is told that it is away\n"),
        (["maintenance", "bert", "--for", "0"], {"for_s": 0.0}, "bert is no longer under maintenance\n"),
        (["forget", "bert"], {"up": False}, "bert (9f3a0000) is forgotten\n"),
        (["forget", "bert"], {"up": True}, "bert (9f3a0000) is forgotten; it is up, and is remembered anew from now on\n"),
    ],
)
def test_maintenance_and_forget_say_what_was_done(capsys, monkeypatch, words, reply, text):
    asked = []

    def reply_to(options, op, *, is_proven, patience=0.0, **fields):
        assert is_proven
        asked.append({"op": op, **fields})
        return {**WHO, **reply}

    monkeypatch.setattr("discoveryd.ctl.history.reply_to", reply_to)
    assert main(words) == 0
    assert capsys.readouterr().out == text
    assert asked == [{"op": words[0], "peer": "bert"} | ({"for_s": reply["for_s"]} if "for_s" in reply else {})]


def test_maintenance_wants_a_time(capsys):
    assert main(["maintenance", "bert"]) == 2
    assert "for how long? Give --for S" in capsys.readouterr().err
    assert main(["maintenance", "bert", "--for", "8d"]) == 2
    assert "--for must be at most 7d" in capsys.readouterr().err
