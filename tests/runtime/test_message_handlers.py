"""What handles messages in this process, without a network."""

import json
import threading
from dataclasses import replace

import pytest

from discoveryd import __version__
from discoveryd.errors import ConfigError
from discoveryd.protocol.messages.values import IncomingMessage
from discoveryd.query.messages import Draft
from discoveryd.runtime.message_handlers import INFO_ROOM, MOST_WAITING, Builtins, LibraryHandlers
from tests.net.query_stage import peer
from tests.protocol.samples import make_node

WAIT = 10.0


def message(name="deploy", payload=b"v2", number=1, **more):
    given = {"is_question": True, "wants_handled": False, "is_sealed": False, "room": 600} | more
    return IncomingMessage(key=("b" * 16, number), sender=peer(), name=name, payload=payload, **given)


class Ends:
    """Takes how messages ended."""

    def __init__(self):
        self.all = []
        self._came = threading.Condition()

    def __call__(self, status, answer=None):
        with self._came:
            self.all.append((status, answer))
            self._came.notify_all()

    def wait(self, count=1):
        with self._came:
            assert self._came.wait_for(lambda: len(self.all) >= count, WAIT), self.all
            return self.all


@pytest.fixture
def library():
    """Return handlers whose thread ends with the test, and what they told."""
    notices, deaths = [], []
    found = LibraryHandlers(notices.append, lambda *death: deaths.append(death))
    found.notices = notices
    yield found
    assert found.stop(WAIT) == []
    assert deaths == []


# --- the built-in names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "payload", "answer"),
    [("echo", b"a\x00\xff", b"a\x00\xff"), ("echo", b"", b""), ("upper", b"hello w\xc3\xb6rld\xff", b"HELLO W\xc3\xb6RLD\xff")],
)
def test_echo_and_upper_answer_with_the_payload(name, payload, answer):
    ends = Ends()
    builtins = Builtins(make_node())
    asked = message(name, payload)
    assert builtins.wants(asked) == ""
    builtins.handle(asked, ends)
    assert ends.all == [("handled", answer)]


def test_info_says_version_uptime_and_name():
    ends, builtins = Ends(), Builtins(make_node())
    builtins.uptime = lambda: 61.234
    builtins.handle(message("info"), ends)
    [(_, answer)] = ends.all
    assert json.loads(answer) == {"version": __version__, "uptime_s": 61.2, "name": "me"}


@pytest.mark.parametrize("room", range(0, 60, 3))
def test_info_is_never_longer_than_there_is_room(room):
    ends, builtins = Ends(), Builtins(make_node())
    builtins.handle(message("info", room=room), ends)
    [(_, answer)] = ends.all
    assert len(answer) <= room
    assert answer == b"" or set(json.loads(answer)) <= {"version", "uptime_s", "name"}


def test_a_question_for_info_has_room_for_the_answer():
    builtins = Builtins(make_node())
    where = {"everyone": True}
    assert len(builtins.padded(Draft(name="info", where=where, is_question=True))) == INFO_ROOM
    assert builtins.padded(Draft(name="info", where=where)) == b""
    assert builtins.padded(Draft(name="echo", payload="a", where=where, is_question=True)) == b"a"


def test_builtins_can_be_switched_off():
    builtins = Builtins(make_node())
    assert builtins.wants(message("deploy")) is None
    builtins.is_on = False
    assert builtins.wants(message("echo")) is None


# --- handlers of a program ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "end"),
    [(b"done", ("handled", b"done")), ("fertig: ä", ("handled", "fertig: ä".encode())), (None, ("handled", None)),
     (b"x" * 65_536, ("handled", b"x" * 65_536)), ("", ("handled", b"")),
     (5, ("failed", None)), (["a"], ("failed", None)), (bytearray(b"a"), ("failed", None)), ("\ud800", ("failed", None))],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_a_handler_returns_is_the_answer(library, returned, end):
    ends, given = Ends(), []
    library.set("deploy", lambda message: given.append(message) or returned)
    asked = message()
    assert library.wants(asked) == ""
    library.handle(asked, ends)
    assert ends.wait() == [end]
    assert given == [asked]
    assert [notice.level for notice in library.notices] == (["warning"] if end[0] == "failed" else [])


@pytest.mark.parametrize("error", [ValueError("no\nroom"), SystemExit(1), KeyboardInterrupt(), RecursionError()])
def test_a_handler_that_raises_has_failed_and_the_next_is_called(library, error):
    ends = Ends()

    def handle(message):
        if message.key[1] == 1:
            raise error
        return b"fine"

    library.set("deploy", handle)
    for number in (1, 2):
        assert library.wants(message(number=number)) == ""
        library.handle(message(number=number), ends)
    assert ends.wait(2) == [("failed", None), ("handled", b"fine")]
    [notice] = library.notices
    assert (notice.level, notice.text) == ("warning", "message handler failed")
    assert notice.fields["message"] == "deploy"
    assert notice.fields["error"] == repr(error)
    assert notice.fields["at"].startswith(f"{__file__}:")


def test_a_handler_that_hangs_keeps_few_messages_waiting(library):
    """The engine has room for more, so other names are handled meanwhile."""
    ends, goes_on = Ends(), threading.Event()
    library.set("deploy", lambda _: goes_on.wait(WAIT) and None)
    for number in range(MOST_WAITING):
        assert library.wants(message(number=number)) == ""
        library.handle(message(number=number), ends)
    assert library.wants(message(number=99)) == "busy"
    goes_on.set()
    assert len(ends.wait(MOST_WAITING)) == MOST_WAITING
    assert library.wants(message(number=100)) == ""


def test_handlers_are_called_in_the_order_of_the_messages(library):
    ends, given = Ends(), []
    library.set("deploy", lambda message: given.append(message.payload))
    sent = [message(payload=str(number).encode(), number=number) for number in range(MOST_WAITING)]
    for each in sent:
        library.wants(each)
        library.handle(each, ends)
    ends.wait(MOST_WAITING)
    assert given == [each.payload for each in sent]


def test_a_handler_can_be_replaced_and_taken_away(library):
    ends = Ends()
    library.set("deploy", lambda _: b"one")
    library.set("deploy", lambda _: b"two")
    library.set("disk", lambda _: b"")
    assert library.names() == ["deploy", "disk"]
    asked = message()
    library.wants(asked)
    library.handle(asked, ends)
    assert ends.wait() == [("handled", b"two")]
    library.wants(replace(asked, key=("b", 2)))
    library.set("deploy", None)
    library.set("deploy", None)
    assert library.wants(asked) is None
    library.handle(replace(asked, key=("b", 2)), ends)  # taken before
    assert ends.wait(2)[1] == ("no-handler", None)


@pytest.mark.parametrize("name", ["", "Deploy", "a b", "x" * 33, "echo", "info", "../x", 5, None])
def test_a_name_that_no_handler_can_have(library, name):
    with pytest.raises(ConfigError, match="the name of a message must be 1 to 32 of a-z 0-9 -, and not echo, info, upper"):
        library.set(name, lambda _: None)


def test_a_handler_that_is_no_function(library):
    with pytest.raises(ConfigError, match="the handler of deploy must be a function or None, not 'x'"):
        library.set("deploy", "x")


def test_without_a_thread_a_message_is_refused(library, monkeypatch):
    ends = Ends()
    library.set("deploy", lambda _: None)

    def fail(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        library.wants(message())
        library.handle(message(), ends)
    assert ends.all == [("busy", None)]
    assert "cannot start the thread message-handler" in library.notices[0].fields["error"]
    library.wants(message())
    library.handle(message(), ends)
    assert ends.wait(2)[1] == ("handled", None)
