"""Messages to nodes of other sites, and of theirs: a node that is not started, and a driver that is played."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from discoveryd.config.sites import SiteAllowRule
from discoveryd.errors import QueryError
from discoveryd.protocol.messages.handed import MAX_HANDED
from discoveryd.protocol.parameters import Parameters
from discoveryd.protocol.sealed.keyring import NO_KEYS
from discoveryd.query.messages import Draft
from discoveryd.runtime.discovery import Discovery
from discoveryd.sites import courier as module
from discoveryd.sites.courier import Courier
from discoveryd.sites.far_messages import (
    FarMessage,
    FarOutcome,
    decode_far_message,
    decode_far_outcome,
    encode_far_message,
    encode_far_outcome,
)
from discoveryd.sites.listing import Voucher, render
from discoveryd.sites.values import SiteAnswer, SiteQuestion
from tests.sites.world import KEYRING, text_of

ALLOW = (
    SiteAllowRule(site="paris", send=("note", "slow"), ask=("upper", "slow", "long")),
    SiteAllowRule(site="tokyo", send=("*",), ask=("*",)),
)  # fmt: skip
WAIT = 10.0


class PlayedDriver:
    """Keeps what is asked and answered."""

    def __init__(self):
        self.asked, self.answers = [], []
        self.engine = SimpleNamespace(followed=lambda: ["berlin"])

    def ask(self, site, body):
        self.asked.append((site, decode_far_message(body)))
        return str(len(self.asked))

    def answer(self, number, body):
        self.answers.append((number, decode_far_outcome(body)))


class Post:
    """A courier of a node, and what it tells."""

    def __init__(self, keyring=KEYRING):
        self.discovery = Discovery(Parameters(loopback="127.0.0.2"), name="anna", node_id="id-anna", keyring=keyring)
        self.driver, self.lines = PlayedDriver(), []
        self.courier = Courier(ALLOW, self.discovery, self.driver)

    def reply(self, line, *, is_last=True):
        self.lines.append(json.loads(line))

    async def send(self, *rows, name="disk", **more):
        draft = Draft(name=name, where={"to": "bert", "site": "berlin"}, **{"payload": b"x", **more})
        await self.courier.send(draft, rows or (row(),), self.reply)

    def question(self, name, number="7", peer="id-anna", site="paris", is_question=True, timeout=5.0, body=None):
        message = FarMessage(peer=peer, name=name, payload=b"abc", is_question=is_question, wants_handled=False, timeout=timeout, sender="pia")
        self.courier.hear(SiteQuestion(number, site, "id-pia", encode_far_message(message) if body is None else body))

    async def until(self, holds):
        async with asyncio.timeout(WAIT):
            while not holds():  # noqa: ASYNC110 - whatever it is
                await asyncio.sleep(0.005)

    async def outcome(self, *arguments, **more):
        before = len(self.driver.answers)
        self.question(*arguments, **more)
        await self.until(lambda: len(self.driver.answers) > before)
        return self.driver.answers[-1][1]


def row(state="up", boot="a" * 16, id="id-bert"):
    return render(f"{id} {boot}", text_of("bert", "10.9.0.2"), state, Voucher("berlin", "gw", 0.5, 10.0), 3.0)


def run(test, **more):
    async def whole():
        async with asyncio.timeout(3 * WAIT):
            await test(Post(**more))

    asyncio.run(whole())


def test_a_message_is_asked_once_and_its_end_told():
    async def test(post):
        sending = asyncio.ensure_future(post.send(is_question=True, timeout=9.0))
        await post.until(lambda: post.driver.asked)
        [(site, message)] = post.driver.asked
        assert (site, message.peer, message.name, message.payload, message.sender) == ("berlin", "id-bert", "disk", b"x", "anna")
        assert (message.is_question, message.timeout, post.courier.status()["waiting"]) == (True, 9.0, 1)
        post.courier.hear(SiteAnswer("other", "berlin", encode_far_outcome(FarOutcome(status="down"))))
        answer = SiteAnswer("1", "berlin", encode_far_outcome(FarOutcome(status="answered", answer=b"4G")))
        post.courier.hear(answer)
        post.courier.hear(answer)
        await sending
        told, end, summary = post.lines
        assert told["sending"]["expected"] == 1
        assert (end["delivery"]["status"], end["delivery"]["text"], end["delivery"]["final"]) == ("answered", "4G", True)
        assert (end["delivery"]["peer"]["site"], end["delivery"]["peer"]["via"]) == ("berlin", "gw")
        assert (summary["summary"]["answered"], summary["summary"]["expected"]) == (1, 1)
        assert (post.courier.status()["sent"], post.courier.status()["done"], post.courier.status()["waiting"]) == (1, 1, 0)

    run(test)


def test_an_error_there_and_what_cannot_be_read_are_told():
    async def test(post):
        for body, code, says in (
            (encode_far_outcome(FarOutcome(error="denied", text="nobody may")), "denied", "berlin: nobody may"), (b"odd", "failed", "cannot be read"),
        ):  # fmt: skip
            sending = asyncio.ensure_future(post.send())
            await post.until(lambda: post.courier.status()["waiting"])
            post.courier.hear(SiteAnswer(str(len(post.driver.asked)), "berlin", body))
            with pytest.raises(QueryError, match=says) as caught:
                await sending
            assert caught.value.code == code
        assert post.courier.status()["failed"] == 2

    run(test)


def test_no_answer_in_time_is_a_timeout(monkeypatch):
    monkeypatch.setattr(module, "WAY", 0.01)

    async def test(post):
        await post.send(timeout=0.01)
        assert (post.lines[1]["delivery"]["status"], post.lines[2]["summary"]["timeout"]) == ("timeout", 1)
        assert len(post.driver.asked) == 1

    run(test)


def test_what_cannot_be_sent_is_refused_and_not_asked():
    async def test(post):
        for rows, code in (((), "not_found"), ((row(), row(boot="b" * 16)), "ambiguous"), (({**row(), "kind": "bare"},), "bad_request")):
            draft = Draft(name="disk", where={"to": "bert", "site": "berlin"})
            with pytest.raises(QueryError) as caught:
                await post.courier.send(draft, rows, post.reply)
            assert caught.value.code == code
        with pytest.raises(QueryError, match="rome is not followed"):
            await post.courier.send(Draft(name="disk", where={"to": "bert", "site": "rome"}), (row(),), post.reply)
        await post.send(row("left"))
        assert [line["delivery"]["status"] for line in post.lines if "delivery" in line] == ["down"]
        assert post.driver.asked == []

    run(test)


def test_without_a_key_nothing_is_sent():
    async def test(post):
        with pytest.raises(QueryError, match="this node has no key"):
            await post.send()
        assert post.driver.asked == []

    run(test, keyring=NO_KEYS)


def test_messages_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)

    async def test(post):
        sending = [asyncio.ensure_future(post.send()) for _ in range(2)]
        await post.until(lambda: len(post.driver.asked) == 2)
        with pytest.raises(QueryError) as caught:
            await post.send()
        assert caught.value.code == "busy"
        for one in sending:
            one.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        assert post.courier.status()["waiting"] == 0

    run(test)


# --- of other sites ---------------------------------------------------------------------------------


def test_only_what_a_rule_names_is_taken():
    async def test(post):
        assert await post.outcome("upper") == FarOutcome(status="answered", answer=b"ABC")
        for more in ({"name": "echo"}, {"name": "upper", "site": "rome"}, {"name": "upper", "is_question": False}, {"name": "from-site", "site": "tokyo"}):
            found = await post.outcome(**more)
            assert (found.error, "(sites.allow)" in found.text) == ("denied", True)
        post.courier.allow = ()
        assert (await post.outcome("upper")).error == "denied"
        assert (await post.outcome("upper", body=b"odd")).error == "failed"
        status = post.courier.status()
        assert (status["received"], status["denied"], status["handed_over"], status["running"]) == (7, 5, 1, 0)

    run(test)


def test_this_node_itself_is_told_the_true_sender():
    async def test(post):
        taken = []
        watched = []
        post.discovery.messages.watch(["note"], watched.append)
        post.discovery.messages.register("t", lambda one: "" if one.name == "slow" else None, lambda one, done: taken.append((one, done)))
        assert await post.outcome("note", is_question=False) == FarOutcome(status="acked")
        assert (await post.outcome("long")).reason == "no-handler"
        assert [(one.sender.name, one.sender.id, one.site, one.is_sealed) for one in watched] == [("pia@paris", "id-pia@paris", "paris", True)]
        post.question("slow", "8")
        await post.until(lambda: taken)
        taken[0][1]("handled", b"x" * (MAX_HANDED + 1))
        await post.until(lambda: len(post.driver.answers) == 3)
        assert post.driver.answers[-1] == ("8", FarOutcome(status="refused", reason="too-long"))
        assert await post.outcome("slow", timeout=0.02) == FarOutcome(status="timeout")

    run(test)


def test_a_peer_that_is_unknown_here_is_told():
    async def test(post):
        found = await post.outcome("upper", peer="nobody")
        assert (found.error, "nobody" in found.text) == ("not_found", True)

    run(test)


def test_messages_of_others_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_RUNNING", 1)

    async def test(post):
        taken = []
        post.discovery.messages.register("t", lambda one: "" if one.name == "slow" else None, lambda one, done: taken.append(done))
        post.question("slow", "8")
        await post.until(lambda: taken)
        assert (await post.outcome("upper")).error == "busy"
        taken[0]("handled", b"")
        await post.until(lambda: not post.courier.status()["running"])
        assert (await post.outcome("upper")).status == "answered"

    run(test)
