"""What each path answers: the JSON of the query socket, with statuses of HTTP, and targets for Prometheus."""

import gzip
import json
import threading
from time import monotonic

import pytest

from discoveryd.errors import QueryError
from discoveryd.protocol.table.peer import SCHEMA
from discoveryd.query.request import Filter
from discoveryd.web import answers as module
from discoveryd.web import app, responses
from discoveryd.web.answers import WebAnswers
from discoveryd.web.app import Site, make_metrics_site
from discoveryd.web.events import Hub
from discoveryd.web.gate import Rules
from discoveryd.web.room import FREE
from tests.protocol.samples import ETH0
from tests.runtime.waiting import WAIT, until
from tests.web.conftest import ask, ask_json, connected, say


class Stage:
    """A site of a node that is played."""

    def __init__(self, loop, discovery, serve):
        self.loop, self.discovery = loop, discovery
        self.hub = loop.run(self._make())
        self.app = Site(self.answers, self.hub).application()
        self.door = serve(self.app)

    async def _make(self):
        self.answers = WebAnswers(self.discovery)
        return Hub(self.discovery, self.answers.look)

    async def close(self):
        self.hub.close()

    def get(self, path, **headers):
        return ask_json(self.door, path, **headers)


@pytest.fixture
def stage(loop, discovery, serve, monkeypatch):
    monkeypatch.setattr(module, "FRESH", 0.0)
    made = Stage(loop, discovery, serve)
    yield made
    loop.run(made.close())


def test_peers_are_those_of_list(stage):
    say(stage.discovery, 1)
    status, found = stage.get("/api/v1/peers")
    assert (status, found["ok"], found["schema"], [peer["id"] for peer in found["peers"]]) == (200, True, SCHEMA, ["p1"])
    assert "self" not in found
    assert stage.get("/api/v1/peers?self=1")[1]["self"]["name"] == "anna"
    assert stage.get("/api/v1/peers?tag=rack=b2&service=http&name=web*&state=up&state=suspect&link=eth0")[1]["peers"]
    assert not stage.get("/api/v1/peers?tag=rack=c3&all=1")[1]["peers"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=odd", "state must be one or a list"), ("tag=rack", "tag must be KEY=VALUE, not 'rack'"), ("name=a&name=b", "'name' stands twice"),
        ("all=maybe", "all must be 1 or 0, not 'maybe'"), ("name=" + "x" * 129, "at most 128 characters"), ("host=a", "not 'host'"),
    ],
)  # fmt: skip
def test_a_wrong_query_says_what_is_wrong(stage, query, says):
    status, found = stage.get(f"/api/v1/peers?{query}")
    assert (status, found["ok"], found["error"]["code"]) == (400, False, "bad_argument")
    assert says in found["error"]["message"]


def test_status_and_findings(stage):
    status, found = stage.get("/api/v1/status")
    assert (status, found["node"]["name"], found["ok"]) == (200, "anna", True)
    status, found = stage.get("/api/v1/findings")
    assert (status, found["ok"]) == (200, True)
    assert isinstance(found["findings"], list)


def test_paths_and_methods_that_there_are_not(stage):
    status, found = stage.get("/nothing")
    assert (status, found["error"]["code"]) == (404, "not_found")
    assert "/api/v1/peers" in found["error"]["message"]
    assert ask_json(stage.door, "/api/v1/peers", "POST")[0] == 405
    assert ask(stage.door, "/api/v1/doctor")[1]["allow"] == "POST"
    assert ask(stage.door, "/api/v1/peers", "HEAD")[2] == b""


def test_the_page_may_do_nothing_but_ask_this_node(stage):
    say(stage.discovery, 1)
    status, headers, text = ask(stage.door, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<td>10.0.0.2</td>" in text
    assert "connect-src 'self'" in headers["content-security-policy"]


def test_the_page_has_no_peers_without_the_token(stage, serve):
    say(stage.discovery, 1)
    door = serve(Site(stage.answers, stage.hub).application(), Rules(token="0123456789abcdef", free=FREE))
    status, _, text = ask(door, "/")
    assert (status, b"anna" in text, b"10.0.0.2" in text) == (200, False, False)
    status, _, text = ask(door, "/", authorization="Bearer 0123456789abcdef")
    assert (status, b"anna" in text, b"10.0.0.2" in text) == (200, True, True)


# --- other sites ------------------------------------------------------------------------------------


def test_without_a_site_sites_are_off(stage):
    for path in ("sites", "peers?site=all"):
        status, found = stage.get(f"/api/v1/{path}")
        assert (status, found["error"]["code"]) == (404, "off")
        assert "set sites.name" in found["error"]["message"]


def test_sites_are_asked_as_on_the_query_socket(stage):
    asked, ended = [], []

    def answer(request, reply):
        if request.site == "rome":
            raise QueryError("not_found", "no site 'rome' is known; known: paris")
        asked.append((request.op, request.site, request.filter, request.wants_self))
        threading.Timer(0.01, reply, [b'{"ok":true,"schema":1,"site":"paris"}\n']).start()
        return lambda: ended.append(request.op)

    stage.discovery.handlers.sites = answer
    assert stage.get("/api/v1/sites") == (200, {"ok": True, "schema": 1, "site": "paris"})
    assert stage.get("/api/v1/peers?site=berlin&state=unknown&self=1")[0] == 200
    assert asked == [("sites", "", Filter(), False), ("list", "berlin", Filter(states=frozenset(["unknown"])), True)]
    assert ended == ["sites", "list"]
    say(stage.discovery, 1)
    status, found = stage.get("/api/v1/peers")
    assert [sorted(peer.keys() & {"id", "site", "via", "vouched_s"}) for peer in found["peers"]] == [["id"]]
    status, found = stage.get("/api/v1/peers?site=rome")
    assert (status, found["error"]["message"]) == (404, "no site 'rome' is known; known: paris")
    assert stage.get("/api/v1/peers?state=unknown")[0] == 400


def test_sites_that_do_not_answer_are_given_up(stage, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ended = []
    stage.discovery.handlers.sites = lambda request, reply: lambda: ended.append(request.op)
    status, found = stage.get("/api/v1/sites")
    assert (status, found["error"]["code"], ended) == (503, "failed", ["sites"])


def test_what_is_about_this_network_takes_no_site(stage):
    status, found = stage.get("/sd/prometheus?site=all")
    assert (status, found["error"]["code"]) == (400, "bad_argument")
    assert "/api/v1/peers and /events take a site" in found["error"]["message"]


# --- the past ---------------------------------------------------------------------------------------


def test_a_history_is_that_of_the_part(stage):
    asked = []

    def answer(request, reply):
        asked.append(request)
        threading.Timer(0.01, reply, [b'{"ok":true,"schema":1}\n']).start()

    stage.discovery.handlers.parts |= {"history": answer, "availability": answer}
    assert stage.get("/api/v1/history?peer=bert&since_s=3600") == (200, {"ok": True, "schema": 1})
    assert (asked[0].op, asked[0].peer, asked[0].since) == ("history", "bert", 3600.0)
    assert stage.get("/api/v1/availability?tag=role=db")[0] == 200
    assert asked[1].filter.tags == {"role": "db"}
    for wrong in ("since_s=long", "since_s=nan", "since_s=-1", "proof=x"):
        assert stage.get(f"/api/v1/history?{wrong}")[0] == 400


def test_without_a_history_it_says_so(stage, monkeypatch):
    status, found = stage.get("/api/v1/history")
    assert (status, found["error"]["code"]) == (404, "off")
    stage.discovery.handlers.parts["history"] = lambda _, reply: reply(b'{"ok":false,"error":{"code":"not_found","message":"x"}}\n')
    assert stage.get("/api/v1/history?peer=x")[0] == 404
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    stage.discovery.handlers.parts["history"] = lambda *_: None
    status, found = stage.get("/api/v1/history")
    assert (status, found["error"]["code"]) == (503, "failed")


# --- the doctor -------------------------------------------------------------------------------------


def test_a_report_is_a_post_and_one_in_some_seconds(stage):
    status, found = ask_json(stage.door, "/api/v1/doctor", "POST")
    assert (status, found["ok"], found["peer"]) == (200, True, None)
    status, headers, _ = ask(stage.door, "/api/v1/doctor", "POST")
    assert (status, headers["retry-after"]) == (429, "5")


@pytest.mark.parametrize("body", ["[]", "{", "1", "[" * 9999, '{"peer": 7}', '{"count": 1}', '{"op": "forget", "peer": "x", "for_s": 1}'])
def test_a_wrong_body_is_refused(stage, body):
    assert ask(stage.door, "/api/v1/doctor", "POST", body)[0] in (400, 413)


def test_a_long_body_is_not_read(stage):
    assert ask_json(stage.door, "/api/v1/doctor", "POST", "x" * (app.MAX_BODY + 1))[0] == 413


def test_about_a_stranger_nobody_is_asked(stage, monkeypatch):
    """What the control token guards at the query socket is not to be had here, whatever is sent."""
    asked = {}
    monkeypatch.setattr(stage.discovery.examiner, "doctor", lambda peer, **more: asked.update(more, peer=peer) or {"ok": True})
    body = json.dumps({"peer": "192.0.2.7", "proof": "x"})
    assert ask_json(stage.door, "/api/v1/doctor", "POST", body) == (200, {"ok": True})
    assert asked == {"peer": "192.0.2.7", "is_entitled": False}


# --- Prometheus -------------------------------------------------------------------------------------


def test_targets_wait_until_the_table_is_whole(stage, discovery):
    say(discovery, 1)
    status, headers, text = ask(stage.door, "/sd/prometheus")
    assert (status, headers["retry-after"]) == (503, "4")
    assert json.loads(text)["error"]["code"] == "not_ready"


def test_targets_of_a_whole_table(stage, monkeypatch):
    monkeypatch.setattr(module.Hold, "until", lambda _, now, **__: (now, now))
    say(stage.discovery, 1)
    status, found = stage.get("/sd/prometheus")
    assert status == 200
    assert [one["targets"] for one in found] == [["10.0.0.2:80"]]
    found = stage.get("/sd/prometheus?port=9100")[1]
    assert sorted(one["targets"][0] for one in found) == ["10.0.0.1:9100", "10.0.0.2:9100"]
    assert [one["targets"] for one in stage.get("/sd/prometheus?port=9100&self=0&tag=rack=b2")[1]] == [["10.0.0.2:9100"]]
    assert stage.get("/sd/prometheus?service=ssh")[1] == []
    for wrong in ("port=0", "port=x", "port=99999", "tag=x"):
        assert stage.get(f"/sd/prometheus?{wrong}")[0] == 400


def test_targets_are_kept_while_this_node_is_cut_off(stage, discovery):
    discovery.look(lambda node, now: node.set_links((), now))
    status, headers, text = ask(stage.door, "/sd/prometheus")
    assert (status, headers["retry-after"]) == (503, "10")
    assert b"cut off" in text
    discovery.look(lambda node, now: node.set_links((ETH0,), now))


def test_metrics_are_those_of_the_library(stage, serve):
    status, headers, text = ask(stage.door, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"discoveryd_build_info" in text
    _, headers, packed = ask(stage.door, "/metrics?name[]=discoveryd_peers", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert set(gzip.decompress(packed).decode().split()[:3]) == {"#", "HELP", "discoveryd_peers"}
    assert ask(stage.door, "/metrics", Accept="application/openmetrics-text;version=1.0.0")[1]["content-type"].startswith("application/openmetrics")
    alone = serve(make_metrics_site(stage.answers.metrics))
    assert ask(alone, "/metrics")[0] == 200
    assert ask_json(alone, "/api/v1/peers")[0] == 404


# --- bounds -----------------------------------------------------------------------------------------


def test_all_that_ask_at_the_same_time_get_one_answer(stage, monkeypatch):
    monkeypatch.setattr(module, "FRESH", 60.0)
    made = []
    monkeypatch.setattr(type(stage.discovery), "status", lambda _: made.append(1) or {"ok": True, "made": len(made)})
    assert [stage.get("/api/v1/status")[1]["made"] for _ in range(3)] == [1, 1, 1]


def test_shared_answers_are_bounded(stage, monkeypatch):
    monkeypatch.setattr(module, "FRESH", 60.0)
    monkeypatch.setattr(module, "KEPT", 3)
    for number in range(8):
        assert stage.get(f"/api/v1/peers?name=x{number}")[0] == 200
    assert stage.answers.kept == 3


def test_long_answers_that_nobody_reads_are_bounded(stage, monkeypatch):
    monkeypatch.setattr(responses, "OWED", 40 << 20)
    monkeypatch.setattr(type(stage.discovery), "status", lambda _: {"ok": True, "findings": "x" * (30 << 20)})
    with connected(stage.door) as slow:
        slow.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: stage.app.state.owed.size > 30 << 20)
        status, headers, _ = ask(stage.door, "/api/v1/status")
        assert (status, headers["retry-after"]) == (503, "1")
        assert ask(stage.door, "/api/v1/peers")[0] == 200  # a short one is no burden
    until(lambda: stage.app.state.owed.size == 0)


def test_a_lock_that_is_held_keeps_the_loop_from_nothing(stage):
    held, done = threading.Event(), threading.Event()

    def hold(*_):
        held.set()
        done.wait(WAIT)

    holder = threading.Thread(target=stage.discovery.look, args=(hold,))
    holder.start()
    held.wait(WAIT)
    try:
        with connected(stage.door) as waits:
            waits.sendall(b"GET /api/v1/peers HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: stage.door.status()["requests"] == 1)
            began = monotonic()
            assert ask(stage.door, "/")[0] == 200
            assert monotonic() - began < WAIT / 2
            done.set()
            assert b"200 OK" in waits.recv(4096)
    finally:
        done.set()
        holder.join()
