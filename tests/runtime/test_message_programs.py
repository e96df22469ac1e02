"""Programs of ``messages.d``: what they get, what becomes of it, and what they cannot do to anything else."""

import errno
import os
from time import monotonic

import pytest

from discoveryd.protocol.messages.values import MAX_PAYLOAD, AllowRule
from discoveryd.runtime.message_programs import MOST_WAITING, Programs
from tests.runtime.hooking import WAIT, Gate, Notices, write_hook
from tests.runtime.test_message_handlers import Ends, message

ANY = AllowRule(name="*", sender="*")
ROOM = MAX_PAYLOAD


class Stage:
    """Programs of a directory, and what they notify and tell."""

    def __init__(self, directory):
        self.directory = directory
        self.notices = Notices()
        self.programs = Programs(str(directory), self.notices.put)
        self.programs.start()
        self.ends = Ends()

    def write(self, name, script, **how):
        return write_hook(self.directory, name, script, **how)

    def look(self, *rules, has_builtins=True, is_sealed=True, timeout=WAIT):
        self.programs.look(rules or (ANY,), has_builtins=has_builtins, is_sealed=is_sealed, timeout=timeout)

    def give(self, name="deploy", payload=b"v2", number=1, **more):
        """Give a message as the engine does; return its end, or why it is refused."""
        given = message(name, payload, number, **({"is_sealed": True, "room": ROOM} | more))
        refusal = self.programs.wants(given)
        if refusal != "":
            return refusal
        self.programs.handle(given, self.ends)
        return None

    def end(self, *args, **more):
        before = len(self.ends.all)
        assert self.give(*args, **more) is None
        return self.ends.wait(before + 1)[before]

    def status(self, name="deploy"):
        return next(one for one in self.programs.status() if one["name"] == name)


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path / "messages.d")
    yield made
    made.programs.stop()


# --- what a program gets, and what comes of it ---------------------------------------------------------


def test_a_program_gets_the_payload_and_who_sent_it(stage):
    variables = '"$DISCOVERYD_MESSAGE|$DISCOVERYD_PEER|$DISCOVERYD_ADDRESS|$DISCOVERYD_ID|$DISCOVERYD_QUESTION|$#"'
    stage.write("deploy", f"cat; printf '%s' {variables}; echo not of the answer >&2")
    stage.look()
    sender = message().sender
    told = f"deploy|{sender.name}|{sender.address}|{sender.id}|1|0"
    assert stage.end(payload=b"a\x00\xff$(id)\n") == ("handled", b"a\x00\xff$(id)\n" + told.encode())
    assert stage.notices.until("message program says").fields["line"] == "not of the answer"
    stage.notices.until("message program ended", exit="0")
    assert stage.status() == {"name": "deploy", "why": None, "taken": 0, "run": 1, "failed": 0, "timeout": 0}


def test_output_is_logged_where_no_answer_is_wanted(stage):
    stage.write("deploy", "echo done\x1b[2J")
    stage.look()
    assert stage.end(is_question=False) == ("handled", None)
    assert stage.notices.until("message program says").fields["line"] == r"done\x1b[2J"


@pytest.mark.parametrize(
    ("script", "end", "fields"),
    [
        ("exit 3", "failed", {"exit": "3"}),
        ("kill -9 $$", "failed", {"exit": "SIGKILL"}),
        ("sleep 60", "failed", {"why": "limits.hook_timeout is over"}),
        ("sleep 60 & sleep 60 & sleep 60", "failed", {"why": "limits.hook_timeout is over"}),
        ("exec yes", "failed", {"exit": "SIGPIPE"}),
        ("exec yes >&2", "failed", {"exit": "SIGPIPE"}),
        (f"head -c {ROOM + 1} /dev/zero", "too-long", {"why": f"its answer has more than {ROOM} bytes"}),
        ("#!/no/such/interpreter\n", "failed", {}),
    ],
)
def test_a_program_that_fails_is_told_and_harms_nothing(stage, script, end, fields):
    stage.write("deploy", script)
    stage.write("other", "echo fine")
    stage.look(timeout=0.3 if "sleep" in script else WAIT)
    assert stage.end() == (end, None)
    found = [one for one in stage.notices.rest() if fields.items() <= one.fields.items() and one.level == "warning"]
    assert found, stage.notices.seen
    assert stage.end("other") == ("handled", b"fine\n")
    counts = stage.status()
    assert (counts["run"], counts["failed"] + counts["timeout"], counts["taken"]) == (1, 1, 0)


def test_an_answer_may_be_as_long_as_the_room(stage):
    stage.write("deploy", f"head -c {ROOM} /dev/zero")
    stage.look()
    assert stage.end() == ("handled", bytes(ROOM))
    assert stage.end(payload=bytes(MAX_PAYLOAD)) == ("handled", bytes(ROOM)), "it does not read what it gets"


def test_one_run_at_a_time_of_a_name_and_no_other_waits(stage, tmp_path):
    with Gate(tmp_path / "gate") as gate:
        stage.write("deploy", f"read -r line < {gate.path}; echo $line $(cat)")
        stage.write("other", "echo fine")
        stage.look()
        results = [stage.give(number=number, payload=b"%d" % number) for number in range(1, MOST_WAITING + 3)]
        assert results == [None] * MOST_WAITING + ["busy"] * 2
        assert stage.end("other") == ("handled", b"fine\n")
        assert stage.status()["taken"] == MOST_WAITING
        for number in range(1, MOST_WAITING + 1):
            gate.open()
            assert stage.ends.wait(number + 1)[number] == ("handled", b"go %d\n" % number)


# --- what may start one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "refusal"),
    [
        ([ANY], None),
        ([AllowRule(name="deploy", sender="nobody")], "denied"),
        ([AllowRule(name="dep*", sender=message().sender.name)], None),
        ([AllowRule(name="deploy", sender=message().sender.id)], None),
        ([AllowRule(name="other", sender="*"), ANY], None),
    ],
)
def test_a_rule_has_to_allow_the_message_and_its_sender(stage, rules, refusal):
    stage.write("deploy", "exit 0")
    stage.look(*rules)
    assert stage.give() == refusal
    assert stage.give("unknown") is None or stage.give("unknown") == refusal
    assert stage.programs.wants(message("unknown", is_sealed=True)) is None


def test_what_is_not_run_is_told_once_with_the_remedy(stage):
    stage.write("deploy", "exit 0")
    stage.write("echo", "exit 0")
    stage.write("Odd.name", "exit 0")
    stage.write("loose", "exit 0", mode=0o777)
    stage.look(AllowRule(name="[el]*", sender="*"))
    why = {one["name"]: one["why"] for one in stage.programs.status()}
    assert why == {
        "deploy": 'nobody may: list {name: deploy, from: "..."} under messages.allow',
        "echo": "the daemon itself answers this name: rename it, or set messages.builtins: off",
        "Odd.name": "no message can have this name: rename it, to 1 to 32 of a-z 0-9 -",
        "loose": f"{stage.directory}/loose is writable by group or others: chmod go-w {stage.directory}/loose",
    }
    told = [(os.path.basename(one.fields["path"]), one.fields["why"]) for one in stage.notices.rest()]
    assert dict(told) == why
    stage.look(AllowRule(name="[el]*", sender="*"))
    assert stage.notices.rest() == []
    assert stage.give() == "denied"
    stage.look(ANY, has_builtins=False, is_sealed=False)
    needs = "anybody on the network could start it: it needs keys, and security.mode: require"
    assert {stage.status(name)["why"] for name in ("deploy", "echo")} == {needs}
    assert stage.give() == "denied"
    stage.look(ANY, has_builtins=False)
    assert stage.status("echo")["why"] is None
    assert stage.end("echo", b"x") == ("handled", b"")


def test_a_rule_is_withdrawn_though_the_directory_cannot_be_read(stage, monkeypatch):
    def find_hooks(_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    stage.write("deploy", "exit 0")
    stage.look()
    assert stage.end() == ("handled", b"")
    monkeypatch.setattr("discoveryd.runtime.message_programs.find_hooks", find_hooks)
    stage.look(AllowRule(name="other", sender="*"))
    assert stage.give() == "denied"
    assert stage.notices.until("message program not run", path=str(stage.directory)).fields["why"] == "cannot be read now: Too many open files"


def test_what_is_not_sealed_starts_nothing(stage):
    stage.write("deploy", "exit 0")
    stage.look()
    assert stage.give(is_sealed=False) == "denied"


def test_a_program_replaced_while_it_runs_ends_as_it_began(stage, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = stage.write("deploy", f"read -r line < {gate}; echo old")
    stage.look()
    assert stage.give() is None
    gate.write_text("go\n")  # it has begun
    os.unlink(path)
    stage.write("deploy", "echo new", mode=0o777)
    assert stage.ends.wait()[0] == ("handled", b"old\n")
    assert stage.end(number=2) == ("failed", None), "it was not looked at yet, but others may write it"
    os.chmod(path, 0o755)
    assert stage.end(number=3) == ("handled", b"new\n")
    os.unlink(path)
    stage.look()
    assert stage.give(number=4) is None or stage.give(number=4) is None
    assert stage.programs.wants(message(is_sealed=True)) is None


def test_stop_ends_what_runs(tmp_path):
    stage = Stage(tmp_path / "messages.d")
    stage.write("deploy", "exec sleep 60")
    stage.look(timeout=60.0)
    assert stage.give() is None
    begun = monotonic()
    stage.programs.stop()
    assert monotonic() - begun < WAIT
