"""What hooks are told, and in which order."""

import json
from dataclasses import replace

import pytest

from discoveryd.query.reply import event_line
from discoveryd.runtime.hook_queue import HookQueue, Occasion
from tests.runtime.hooking import event, peer


def make(*hooks, slots=4, limit=10):
    queue = HookQueue(slots=slots, limit=limit)
    queue.set_hooks(hooks or ("a",))
    return queue


def occasion(id="web1", kind="joined", **about):
    return Occasion.of(event(kind, peer(id, **about)))


def told(job):
    return job.hook, job.occasion.lane, job.occasion.kind, job.occasion.coalesced


def test_events_are_run_in_their_order():
    queue = make()
    for id in ("c", "a", "b"):
        queue.put(occasion(id))
    assert [told(queue.take())[1] for _ in range(3)] == ["c", "a", "b"]
    assert (queue.take(), queue.running, queue.waiting) == (None, 3, 0)


def test_a_hook_never_runs_twice_at_once_for_a_peer():
    queue = make()
    queue.put(occasion("web1", "joined"))
    first = queue.take()
    queue.put(occasion("web1", "down"))
    queue.put(occasion("web2", "joined"))
    second = queue.take()
    assert told(second) == ("a", "web2", "joined", 0)  # it does not wait behind the other
    assert queue.take() is None
    queue.done(first)
    assert told(queue.take()) == ("a", "web1", "down", 0)


def test_the_newest_event_of_a_peer_takes_the_place_of_the_first():
    queue = make()
    for id, kind in (("web1", "joined"), ("web2", "joined"), ("web1", "suspect"), ("web1", "down")):
        queue.put(occasion(id, kind))
    assert (queue.waiting, queue.coalesced) == (2, 2)
    assert [told(queue.take()) for _ in range(2)] == [("a", "web1", "down", 2), ("a", "web2", "joined", 0)]


def test_a_restart_replaces_the_boot_before_a_clone_does_not():
    queue = make()
    queue.put(occasion("web1", "joined", boot="1" * 16))
    queue.put(occasion("web1", "restarted", boot="2" * 16))
    queue.put(occasion("web1", "clone", boot="1" * 16, clone=True))
    queue.put(occasion("web1", "clone", boot="2" * 16, clone=True))
    found = []
    while (job := queue.take()) is not None:
        assert queue.take() is None  # nor are two of one id told at once
        found.append((job.occasion.kind, job.occasion.peer.boot[0], job.occasion.coalesced))
        queue.done(job)
    assert found == [("restarted", "2", 1), ("clone", "1", 0), ("clone", "2", 0)]


def test_a_full_queue_drops_further_peers_and_is_told_once():
    queue = make(limit=2)
    assert [queue.put(occasion(id)) for id in "abcd"] == [[], [], [("a", "full")], []]
    assert queue.put(occasion("a", "down")) == [("a", "coalescing")]  # a peer that waits is never dropped
    assert (queue.waiting, queue.dropped, queue.coalesced) == (2, 2, 1)
    for _ in range(2):
        queue.done(queue.take())
    assert [queue.put(occasion(id)) for id in "abc"] == [[], [], [("a", "full")]]


def vouched(id, kind="down", **how):
    return Occasion.of(event(kind, replace(peer(id), **(how or {"rtt_ms": 0.3}))))


@pytest.mark.parametrize("how", [{"rtt_ms": 0.3}, {"key": "93c5e5e4"}], ids=["answered", "seals"])
def test_peers_that_may_be_made_up_wait_behind_proven_peers(how):
    queue = make(limit=4096)
    for number in range(5000):  # 904 are dropped
        queue.put(occasion(f"x{number}"))
    queue.put(vouched("db1", **how))
    queue.put(Occasion(kind="isolated", reason="most fell silent"))
    assert (queue.waiting, queue.dropped) == (4096, 906)
    assert [told(queue.take())[1:3] for _ in range(3)] == [("db1", "down"), ("", "isolated"), ("x0", "joined")]


def test_a_peer_that_becomes_proven_moves_ahead():
    queue = make(limit=3)
    for id in ("x1", "db1", "x2"):
        queue.put(occasion(id))
    assert queue.put(vouched("db1", "updated")) == [("a", "coalescing")]
    queue.put(occasion("db1", "down"))
    assert (queue.waiting, queue.dropped) == (3, 0)
    assert [told(queue.take())[1:] for _ in range(3)] == [("db1", "down", 2), ("x1", "joined", 0), ("x2", "joined", 0)]


def test_a_proven_peer_pushes_out_no_other_proven_peer():
    queue = make(limit=2)
    assert [queue.put(vouched(id)) for id in "abc"] == [[], [], [("a", "full")]]
    assert [told(queue.take())[1] for _ in range(2)] == ["a", "b"]


def test_no_more_hooks_run_at_once_than_there_are_slots():
    queue = make("a", "b", slots=3)
    for number in range(9):
        queue.put(occasion(f"web{number}"))
    jobs = [queue.take() for _ in range(3)]
    assert (queue.take(), queue.running) == (None, 3)
    queue.done(jobs[1])
    assert queue.take() is not None
    queue.slots = 5
    assert [queue.take() is None for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("slots", [1, 4])
def test_hooks_take_turns_in_the_order_of_their_names(slots):
    queue = make("a", "b", slots=slots)
    for number in range(9):
        queue.put(occasion(f"web{number}"))
    jobs = [queue.take() for _ in range(slots)]
    for _ in range(8 - slots):
        queue.done(jobs[-slots])
        jobs.append(queue.take())
    assert [job.hook for job in jobs] == ["a", "b"] * 4


@pytest.mark.parametrize(("hooks", "share"), [(1, 4), (2, 3), (3, 2), (4, 1), (9, 1)])
def test_a_hook_that_hangs_leaves_slots_to_the_others(hooks, share):
    queue = make(*(f"hook{number}" for number in range(hooks)), slots=4)
    for number in range(9):
        queue.put(occasion(f"web{number}"))
    ended = 0
    while (job := queue.take()) is not None:
        if job.hook != "hook0":  # which never ends
            queue.done(job)
            ended += 1
    assert (queue.running, ended) == (share, 9 * (hooks - 1))


def test_events_that_wait_for_a_removed_hook_are_forgotten():
    queue = make("a", "b")
    queue.put(occasion())
    running = queue.take()
    queue.set_hooks(["b", "c"])
    assert (running.hook, queue.waiting, queue.hooks) == ("a", 1, ("b", "c"))
    assert told(queue.take()) == ("b", "web1", "joined", 0)
    queue.done(running)
    assert queue.running == 1
    queue.put(occasion())
    queue.clear()
    assert (queue.waiting, queue.put(occasion()), queue.waiting) == (0, [], 0)


def test_the_line_for_a_hook_is_that_of_watch():
    happened = event("restarted", peer(name="anna"))
    line = Occasion.of(happened).line()
    assert line.endswith(b"}\n")
    assert json.loads(line) == {**json.loads(event_line(happened)), "coalesced": 0}


def test_an_event_without_a_peer_has_the_same_shape():
    doubt = Occasion(kind="isolated", reason="most fell silent")
    assert json.loads(doubt.line()) == {
        "event": "isolated", "seq": None, "peer": None, "reason": "most fell silent", "coalesced": 0,
    }  # fmt: skip
    assert doubt.environment() == {
        "DISCOVERYD_EVENT": "isolated", "DISCOVERYD_SEQ": "", "DISCOVERYD_PEER": "", "DISCOVERYD_ADDRESS": "",
        "DISCOVERYD_ID": "",
    }  # fmt: skip


SHUT = {"code": "own-firewall-in", "subject": "eth0\n", "text": "nothing came back", "remedy": ["ufw allow 3400/udp"]}


def found(kind="finding", **changed):
    return Occasion(kind=kind, reason="nothing came back", finding=SHUT | changed)


def test_findings_are_for_hooks_of_that_name_and_nothing_else_is():
    queue = make("/hooks.d/10-log", "/hooks.d/finding-mail")
    queue.put(found())
    queue.put(occasion("web1"))
    assert [(job.hook, job.occasion.kind) for job in (queue.take(), queue.take())] == [
        ("/hooks.d/10-log", "joined"), ("/hooks.d/finding-mail", "finding"),
    ]  # fmt: skip
    assert (queue.take(), queue.waiting) == (None, 0)


def test_of_a_finding_the_newest_state_waits():
    queue = make("finding-mail")
    for happened in (found(), found(subject="eth1"), found("finding-gone")):
        queue.put(happened)
    assert [told(queue.take())[2:] for _ in range(2)] == [("finding-gone", 1), ("finding", 0)]


def test_a_finding_is_told_whole():
    shown = {"event": "finding", "seq": None, "peer": None, "reason": "nothing came back", "coalesced": 0}
    assert json.loads(found().line()) == {**shown, "finding": SHUT}
    environment = found().environment()
    assert (environment["DISCOVERYD_EVENT"], environment["DISCOVERYD_PEER"]) == ("finding", "")
    assert (environment["DISCOVERYD_FINDING"], environment["DISCOVERYD_SUBJECT"]) == ("own-firewall-in", "eth0?")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("anna", "anna"), (None, "10.0.0.7"), ("ü €", "ü €"), ("a\nb\x1b[31m\0\ud800\u202e", "a?b?[31m???"), ("$(id)", "$(id)")],
)
def test_the_environment_of_a_hook_has_no_control_characters(name, shown):
    occasion = Occasion.of(event("down", peer(name=name), seq=7))
    assert occasion.environment() == {
        "DISCOVERYD_EVENT": "down", "DISCOVERYD_SEQ": "7", "DISCOVERYD_PEER": shown, "DISCOVERYD_ADDRESS": "10.0.0.7",
        "DISCOVERYD_ID": "web1",
    }  # fmt: skip


def test_a_hook_is_told_why_a_peer_left():
    left = Occasion.of(event("left", replace(peer(), state="left", goodbye_reason="reboot")))
    assert left.environment()["DISCOVERYD_GOODBYE"] == "reboot"
    assert json.loads(left.line())["peer"]["goodbye_reason"] == "reboot"


def site(kind, name="paris"):
    return Occasion(kind=kind, reason="no gateway of it is heard", site=name)


def test_sites_are_for_hooks_of_that_name_and_nothing_else_is():
    queue = make("/hooks.d/10-log", "/hooks.d/site-mail", "/hooks.d/finding-mail")
    for happened in (occasion("web1"), site("site-unreachable"), found()):
        queue.put(happened)
    jobs = [queue.take() for _ in range(3)]
    assert sorted((job.hook, job.occasion.kind) for job in jobs) == [
        ("/hooks.d/10-log", "joined"), ("/hooks.d/finding-mail", "finding"), ("/hooks.d/site-mail", "site-unreachable"),
    ]  # fmt: skip
    assert queue.take() is None


def test_of_a_site_the_newest_state_waits_and_is_told_whole():
    queue = make("site-mail")
    for happened in (site("site-unreachable"), site("site-unreachable", "tokyo"), site("site-back")):
        queue.put(happened)
    first, second = (queue.take().occasion for _ in range(2))
    assert (first.kind, first.site, first.coalesced, second.site) == ("site-back", "paris", 1, "tokyo")
    assert json.loads(first.line()) == {
        "event": "site-back", "seq": None, "peer": None, "reason": "no gateway of it is heard", "coalesced": 1, "site": "paris",
    }  # fmt: skip
    assert (first.environment()["DISCOVERYD_EVENT"], first.environment()["DISCOVERYD_SITE"]) == ("site-back", "paris")
