"""``send``, ``ask`` and ``watch --messages`` against a daemon that is played, and once against a node."""

import json
import os
import pty
import re
import select
import signal
import subprocess
from base64 import b64decode, b64encode
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from discoveryd.ctl import main
from discoveryd.net.sockets import free_port
from discoveryd.protocol.parameters import Parameters
from discoveryd.query.address import format_address
from discoveryd.query.formats.messages import answer_text, message_text
from discoveryd.query.formats.table import Screen
from discoveryd.runtime.discovery import Discovery
from tests.control import TOKEN, Control
from tests.ctl.played import GREETING, STOPPING, Daemon, ask, command, environment, refusal
from tests.query.samples import peer
from tests.runtime.talk import WAIT, meet

HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\ne\x07"
"""Clears a terminal, sets a colour by C1, turns the order around, begins a line and rings."""
SAFE = r"a\x1b[2Jb\x9b31mc\u202ed\ne\x07"
HELLO = [{"ok": True}]
"""The answer to the proof before a long line."""


def delivery(status, name="h1", *, final=True, reason=None, answer=None):
    return {
        "delivery": {
            "peer": peer(name=name, id=name, boot=name), "status": status, "reason": reason, "final": final,
            "answer": None if answer is None else b64encode(answer).decode(), "text": None, "took_s": 0.002,
        }
    }  # fmt: skip


def told(*deliveries, expected=None):
    """Give the lines of a daemon for a message."""
    last = {one["delivery"]["peer"]["name"]: one["delivery"]["status"] for one in deliveries}
    expected = len(last) if expected is None else expected
    counts = dict.fromkeys(("acked", "handled", "answered", "refused", "timeout", "down"), 0)
    for status in last.values():
        counts[status] = counts.get(status, 0) + 1
    summary = {"ok": True, "schema": 1, "summary": {"expected": expected, **counts}}
    return [{"sending": {"number": 7, "expected": expected}}, *deliveries, summary]


def message(text="v2", *, sender="anna", name="deploy", payload=None, question=False):
    payload = text.encode() if payload is None else payload
    found = {
        "number": 17, "name": name, "sender": peer(name=sender), "payload": b64encode(payload).decode(),
        "text": text, "sealed": True, "question": question,
    }  # fmt: skip
    return {"message": found}


@pytest.fixture(autouse=True)
def token(tmp_path, monkeypatch):
    file = tmp_path / "control.token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    monkeypatch.setenv("DISCOVERYCTL_TOKEN_FILE", str(file))
    monkeypatch.setitem(GREETING, "nonce", "0f" * 16)
    return file


# --- send -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["deploy", "v2", "--to", "h1", "--to", "h2"], {"message": "deploy", "payload": "djI=", "peers": ["h1", "h2"]}),
        (["deploy", "--everyone"], {"message": "deploy", "payload": "", "everyone": True}),
        (
            ["deploy", "--tag", "role=gpu", "--name", "w*", "--service", "ssh", "--link", "eth0", "--", "-v"],
            {
                "message": "deploy", "payload": "LXY=", "tags": {"role": "gpu"}, "name": "w*", "service": "ssh",
                "link": "eth0",
            },
        ),
        (
            ["deploy", "\u00e4", "--everyone", "--timeout", "1m", "--wait-handled"],
            {"message": "deploy", "payload": "w6Q=", "everyone": True, "timeout_s": 60.0, "wait_handled": True},
        ),
    ],
)  # fmt: skip
def test_send_asks_for_what_the_line_says(words, fields):
    with Daemon([HELLO, told(delivery("handled"))]) as daemon:
        assert main(["--address", daemon.address, "send", *words]) == 0
    proven, request = daemon.requests
    assert proven["op"] == "hello"
    assert TOKEN not in json.dumps(daemon.requests)
    assert len(request.pop("proof")) == 64
    assert request == {"op": "send", "timeout_s": 5.0, **fields}


TWO_OF_FOUR = told(
    delivery("acked"), delivery("refused", "h2", reason="busy"), delivery("timeout", "h3"), delivery("acked", "h4")
)
FAILED = "h2 (10.0.0.2): refused, busy\nh3 (10.0.0.2): timeout\n2 of 4 acked, 1 refused, 1 timeout"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 1, f"{FAILED}\n"),
        (["--quorum", "50%"], 0, f"{FAILED} (2 suffice)\n"),
        (["--quorum", "2"], 0, f"{FAILED} (2 suffice)\n"),
        (["--quorum", "51%"], 1, f"{FAILED} (3 suffice)\n"),
        (["--quorum", "5"], 1, f"{FAILED} (5 suffice)\n"),
    ],
)
def test_send_counts_those_that_acknowledged(capsys, words, code, told):
    with Daemon([HELLO, TWO_OF_FOUR]) as daemon:
        assert ask(capsys, daemon, "send", "deploy", "--everyone", *words) == (code, told, "")


def test_json_is_what_the_daemon_says(capsys):
    with Daemon([HELLO, TWO_OF_FOUR]) as daemon:
        code, out, err = ask(capsys, daemon, "send", "deploy", "--everyone", "--json")
    assert (code, err) == (1, "")
    assert [json.loads(line) for line in out.splitlines()] == TWO_OF_FOUR[1:]


def test_with_wait_handled_only_the_end_of_a_handler_counts(capsys):
    lines = told(
        delivery("acked", final=False), delivery("handled"), delivery("acked", "h2", final=False),
        delivery("down", "h2"),
    )  # fmt: skip
    with Daemon([HELLO, lines]) as daemon:
        code, out, _ = ask(capsys, daemon, "send", "deploy", "--everyone", "--wait-handled")
    assert (code, out) == (1, "h2 (10.0.0.2): down\n1 of 2 handled, 1 down\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--name", "w*"], "no live peer matches: nothing was sent"),
        (["--everyone"], "no peer is up: nothing was sent"),
        (["--name", "one", "--quorum", "1%"], "no live peer matches: nothing was sent; one is this node, which is no peer of itself"),
    ],
)
def test_nobody_there_is_exit_1(capsys, words, why):
    with Daemon([HELLO, told()]) as daemon:
        assert ask(capsys, daemon, "send", "deploy", *words) == (1, "", f"discoveryctl: {why}\n")


TO_WHOM = "--to PEER, filters (--name, --tag, --service, --link), or --everyone\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["send"], "send which message? Give its name"),
        (["send", "deploy", "v2"], f"send to whom? Give {TO_WHOM}"),
        (["ask", "disk"], f"ask to whom? Give {TO_WHOM}"),
        (["send", "deploy", "--everyone", "--to", "h1"], f"send takes its receivers in one way only, which is one of {TO_WHOM}"),
        (["send", "deploy", "--name", "*", "--to", "h1"], "send takes its receivers in one way only"),
        (["send", "deploy", *["--to", "h"] * 65], "--to names at most 64 peers, not 65: use a filter"),
        (["send", "Deploy", "--everyone"], "send: MESSAGE must be 1 to 32 of a-z 0-9 -, not 'Deploy'"),
        (["send", "deploy", "--everyone", "--quorum", "0"], "--quorum must be a number of peers, or a share such as 90%"),
        (["send", "deploy", "--everyone", "--quorum", "101%"], "--quorum must be 1% to 100%, not '101'"),
        (["send", "deploy", "--everyone", "--timeout", "11m"], "timeout must be more than 0 and at most 600 s"),
        (["send", "deploy", "--everyone", "--timeout", "0"], "timeout must be more than 0"),
        (["send", "deploy", "--state", "down"], "send does not take --state"),
        (["ask", "disk", "--wait-handled", "--everyone"], "ask does not take --wait-handled"),
        (["watch", "--messages", "--tag", "a=b"], "watch --messages takes no filters: choose messages by their name"),
        (["watch", "--message", "Deploy"], "--message must be 1 to 32 of a-z 0-9 -"),
    ],
)
def test_a_wrong_line_is_exit_2(capsys, words, why):
    with Daemon([]) as daemon:
        code, out, err = ask(capsys, daemon, *words)
    assert (code, out, err[: len(why) + 14]) == (2, "", f"discoveryctl: {why}")
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        (refusal("not_found", "no peer has the name 'h1'"), 1, "no peer has the name 'h1'"),
        (refusal("too_long", "the payload has 601 bytes"), 2, "the payload has 601 bytes"),
        (refusal("ambiguous", "several are called h1"), 2, "several are called h1"),
        (STOPPING, 3, "the daemon is stopping"),
    ],
)
def test_what_the_daemon_refuses(capsys, answer, code, why):
    with Daemon([HELLO, [answer]]) as daemon:
        assert ask(capsys, daemon, "send", "deploy", "--to", "h1") == (code, "", f"discoveryctl: {why}\n")


def test_a_daemon_that_ends_meanwhile_is_exit_3(capsys):
    lines = [{"sending": {"number": 7, "expected": 3}}, delivery("handled"), delivery("acked", "h2", final=False), STOPPING]
    with Daemon([HELLO, lines]) as daemon:
        code, _, err = ask(capsys, daemon, "send", "deploy", "--everyone", "--wait-handled")
    assert (code, err) == (3, "discoveryctl: the daemon is stopping; up to then 1 of 3 handled, 1 acked\n")


def test_only_the_builtin_names_go_without_a_token(capsys, token):
    token.unlink()
    with Daemon([told(delivery("answered", answer=b"HI"))]) as daemon:
        assert ask(capsys, daemon, "ask", "upper", "hi", "--everyone")[0] == 0
        for words in (["send", "deploy", "--everyone"], ["ask", "echo", "x" * 2049, "--everyone"], ["watch", "--messages"]):
            code, _, err = ask(capsys, daemon, *words)
            assert (code, "name the file with --token-file" in err) == (2, True)
    assert [request["op"] for request in daemon.requests] == ["ask"]


@pytest.mark.parametrize(("size", "code"), [(65536, 0), (65537, 2)])
def test_a_payload_from_standard_input_has_a_bound(size, code):
    payload = os.urandom(size)
    with Daemon([HELLO, told(delivery("acked"))]) as daemon:
        words = command("send", "deploy", "-", "--to", "h1", "--address", daemon.address)
        done = subprocess.run(words, input=payload, capture_output=True, timeout=20, check=False, env=environment())
    assert done.returncode == code
    if code:
        assert done.stderr == b"discoveryctl: the payload has more than 65536 bytes: nothing was sent\n"
        assert daemon.requests == []
    else:
        assert b64decode(daemon.requests[1]["payload"]) == payload


def test_a_terminal_has_a_line_of_progress():
    with Daemon([HELLO, TWO_OF_FOUR]) as daemon:
        ours, theirs = pty.openpty()
        words = command("send", "deploy", "--everyone", "--address", daemon.address)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=environment()) as process:
            os.close(theirs)
            out = process.stdout.read().decode()
            assert process.wait(20) == 1
        shown = ""
        with suppress(OSError):  # EIO: the other end is closed, and all is read
            while piece := os.read(ours, 65536):
                shown += piece.decode()
        os.close(ours)
    assert out == f"{FAILED}\n"
    assert [one for one in shown.split("\r") if one.strip()] == [
        "0 of 4 acked", "1 of 4 acked", "1 of 4 acked, 1 refused", "1 of 4 acked, 1 refused, 1 timeout",
        "2 of 4 acked, 1 refused, 1 timeout",
    ]  # fmt: skip
    assert shown.endswith(f"\r{' ' * len('2 of 4 acked, 1 refused, 1 timeout')}\r")


# --- ask --------------------------------------------------------------------------------------------


def test_ask_prints_each_answer_and_a_summary(capsys):
    lines = told(
        delivery("acked", final=False), delivery("answered", answer=b"12 GB\nof 40\n"),
        delivery("answered", "h2", answer=b"\xff\x00"), delivery("answered", "h3", answer=b""), delivery("timeout", "h4"),
    )  # fmt: skip
    with Daemon([lines]) as daemon:
        code, out, err = ask(capsys, daemon, "ask", "info", "--everyone")
    assert (code, out.splitlines()) == (
        1,
        ["h1 (10.0.0.2)  12 GB", "    of 40", "h2 (10.0.0.2)  (2 bytes that are no text)", "h3 (10.0.0.2)"],
    )
    assert err == "discoveryctl: 3 of 4 answered, 1 timeout; h4 (10.0.0.2): timeout\n"


def test_no_text_of_a_peer_reaches_the_terminal_raw(capsys):
    answered = told(delivery("answered", HOSTILE, answer=HOSTILE.encode()), delivery(HOSTILE, "h2", reason=HOSTILE))
    watched = [{"ok": True, "names": []}, message(HOSTILE, sender=HOSTILE, name=HOSTILE), refusal("odd", HOSTILE)]
    with Daemon([answered, HELLO, answered, HELLO, watched]) as daemon:
        outputs = [
            ask(capsys, daemon, "ask", "info", "--everyone"),
            ask(capsys, daemon, "send", "deploy", "--everyone"),
            ask(capsys, daemon, "watch", "--messages"),
        ]
    for _, out, err in outputs:
        assert (out + err).replace("\n", "").isprintable()
    first, second = outputs[0][1].splitlines()
    assert (first, second) == (f"{SAFE} (10.0.0.2)  {SAFE.partition(chr(92) + 'n')[0]}", r"    e\x07")
    assert f"\nh2 (10.0.0.2): {SAFE}, {SAFE}\n1 of 2 acked, 1 {SAFE}\n" in outputs[1][1]
    assert outputs[2][1].splitlines()[0].endswith(f"  {SAFE}  {SAFE} (10.0.0.2)  {SAFE}")


@pytest.mark.parametrize("width", [None, 20, 60])
def test_only_the_name_of_a_peer_is_at_the_first_column(width):
    answer = "x" * 100 + "\nh2 (10.0.0.3)  40 GB\n" + " " * 60 + "h2 (10.0.0.3)  40 GB"
    lines = answer_text(delivery("answered", answer=answer.encode())["delivery"], Screen(width)).split("\n")
    assert lines[0].startswith("h1 (10.0.0.2)")
    assert all(line.startswith("    ") or not line for line in lines[1:])
    assert all(len(line) <= (width or 200) for line in lines)


def test_a_name_cannot_end_its_own_label():
    shown = answer_text(delivery("answered", "h2 (10.0.0.3)  40 GB", answer=b"x")["delivery"], Screen())
    assert shown == r"h2 (10.0.0.3) \x2040 GB (10.0.0.2)  x"


def test_ask_ends_when_its_reader_is_gone():
    lines = [{"sending": {"number": 7, "expected": 2}}, delivery("answered", answer=b"1")]
    with Daemon([lines]) as daemon:
        words = command("ask", "info", "--everyone", "--timeout", "10m", "--address", daemon.address)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            assert process.stdout.readline() == b"h1 (10.0.0.2)  1\n"
            process.stdout.close()  # as `head -1` does
            assert process.wait(20) == 0
            assert process.stderr.read() == b""


def test_an_interrupt_is_quiet():
    with Daemon([[{"sending": {"number": 7, "expected": 2}}, delivery("answered", answer=b"1")]]) as daemon:
        words = command("ask", "info", "--everyone", "--timeout", "10m", "--address", daemon.address)
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr.read() == b""


# --- watch --messages -------------------------------------------------------------------------------

SUBSCRIBED = {"ok": True, "schema": 1, "names": []}


def test_watch_prints_messages_across_restarts(capsys):
    first = [SUBSCRIBED, message("v2\nrm -rf /"), STOPPING]
    second = [SUBSCRIBED, message(payload=b"\xff\x00", question=True), {"of": "a later version"}, refusal("odd", "enough")]
    with Daemon([HELLO, first, HELLO, second]) as daemon:
        code, out, err = ask(capsys, daemon, "watch", "--messages")
    assert re.sub(r"^\d\d:\d\d:\d\d", "TIME", out, flags=re.MULTILINE).splitlines() == [
        r"TIME  deploy  anna (10.0.0.2)  v2\nrm -rf /",
        "TIME  deploy (question)  anna (10.0.0.2)  (2 bytes that are no text)",
    ]
    assert (code, err.splitlines()) == (
        3,
        [
            "discoveryctl: the daemon is stopping; trying again",
            "discoveryctl: connected again",
            "discoveryctl: enough",
        ],
    )
    assert [(one["op"], one.get("names")) for one in daemon.requests] == [("hello", None), ("messages", [])] * 2


def test_json_of_watch_has_the_payload_and_nothing_else(capsys):
    with Daemon([HELLO, [SUBSCRIBED, message(payload=b"\xff\x00"), refusal("odd", "enough")]]) as daemon:
        _, out, _ = ask(capsys, daemon, "watch", "--message", "deploy", "--message", "build", "--json")
    assert json.loads(out.splitlines()[0]) == message(payload=b"\xff\x00")
    assert daemon.requests[1]["names"] == ["deploy", "build"]


def test_a_long_message_is_folded_on_a_screen():
    lines = message_text(message("word " * 30)["message"], Screen(40), "12:00:00").split("\n")
    assert lines[0] == "12:00:00  deploy  anna (10.0.0.2)  word"
    assert all(line.startswith(" " * 10) for line in lines[1:])


# --- real nodes -------------------------------------------------------------------------------------


def test_messages_between_nodes(capsys, token):
    port = free_port("127.0.0.1", "udp")
    anna, bert = (
        Discovery(
            Parameters(port=port, loopback=address, interval=0.1), name=name, node_id=name, query=(address, 0),
            control=Control(),
        )
        for name, address in (("anna", "127.0.0.2"), ("bert", "127.0.0.3"))
    )  # fmt: skip
    with ExitStack() as stack:
        for node in (anna, bert):
            stack.callback(node.stop)
        meet(port, anna, bert)
        words = command("watch", "--message", "deploy", "--json", "--address", format_address(bert.query_address))
        watch = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()))
        stack.callback(watch.kill)
        at = ["--address", format_address(anna.query_address)]
        sending = ["send", "deploy", "v2\x1b[31m", "--to", "bert", "--wait-handled", *at]
        deadline = monotonic() + WAIT
        while not bert.status()["messages"]["watchers"]:  # asked by messages, it would be sent more than it takes
            assert monotonic() < deadline
            select.select([], [], [], 0.02)
        assert main(sending) == 0
        assert capsys.readouterr().out == "1 of 1 handled\n"
        assert json.loads(watch.stdout.readline())["message"]["payload"] == b64encode(b"v2\x1b[31m").decode()
        assert main(["ask", "upper", "hi", "--everyone", *at]) == 0
        assert capsys.readouterr().out == "bert (127.0.0.3)  HI\n"
