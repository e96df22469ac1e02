"""The driver over transports that the test plays: no socket, and threads only where a test starts them."""

import threading
from contextlib import ExitStack
from queue import SimpleQueue
from random import Random

import pytest

from discoveryd.net.batch import BATCH
from discoveryd.net.stamps import boottime
from discoveryd.net.transport import Arrivals
from discoveryd.protocol.link import Link, Source
from discoveryd.protocol.node import Node
from discoveryd.protocol.outcome import Outcome, Send
from discoveryd.protocol.parameters import Limits, Parameters
from discoveryd.protocol.wire.record import Record
from discoveryd.runtime.driver import Driver
from discoveryd.runtime.goodbyes import say_goodbye
from tests.ear import is_goodbye
from tests.protocol.samples import hello
from tests.runtime.transport import ETH0, FakeTransport

WAIT = 5.0
WLAN = Link("wlan0", 3, "192.168.7.1", 24, "192.168.7.255")


@pytest.fixture
def make():
    """Make drivers; they are stopped at the end."""
    with ExitStack() as stack:

        def make(*transports, notify=lambda _: None, clock=boottime, is_started=True, **parameters):
            parameters.setdefault("interval", 0.05)
            parameters.setdefault("ttl", 4.0)
            node = Node(Parameters(**parameters), Record(name="anna"), node_id="anna", random=Random(1), clock=clock)
            driver = Driver(
                node, transports, clock=clock, notify=notify, wake_servers=lambda: None, errand=lambda: 3600.0
            )
            driver.network.open(stack, node.parameters)
            if is_started:
                driver.start()
                driver.links.report_start()
            stack.callback(lambda: driver.begin_stop() and driver.stop())
            return driver

        yield make


def take(driver, arrivals, now, number=0):
    """Give arrivals of a transport to the node, as the thread of its receiver does."""
    driver.take(driver.network.receivers[number], arrivals, now)


def texts(notices, count):
    return [notices.get(timeout=WAIT).text for _ in range(count)]


def joined(driver):
    return {peer.id for peer in driver.look(lambda node, now: node.peers(now))}


def test_it_speaks_on_each_link_and_says_goodbye_three_times(make):
    lan = FakeTransport()
    driver = make(lan)
    lan.until(lambda sent: len(sent) >= 3)
    assert driver.begin_stop()
    assert not driver.begin_stop()
    assert driver.stop() == []
    assert {send.to for send in lan.sent} == {ETH0.broadcast}
    assert [is_goodbye(send.datagram) for send in lan.sent[-4:]] == [False, True, True, True]


def test_a_look_reads_the_hello_of_a_peer_that_would_be_overdue(make):
    jump = [0.0]
    lan = FakeTransport(clock=lambda: boottime() + jump[0])
    driver = make(lan, clock=lambda: boottime() + jump[0])
    subscription = driver.subscribe(None)
    lan.put(hello(1, "bert", interval=0.1).encode())
    assert subscription.get(timeout=WAIT).kind == "joined"
    lan.put_quietly(hello(1, "bert", interval=0.1, seq=2).encode(), at=boottime() + 0.9)
    jump[0] = 0.9  # less than LAG
    [peer] = driver.look(lambda node, now: node.peers(now))
    assert (peer.state, peer.last_heard_s < 0.5) == ("up", True)


def test_for_a_while_after_an_event_nothing_may_wait_unread(make):
    jump = [100.0]
    lan = FakeTransport(clock=lambda: boottime() + jump[0])
    driver = make(lan, clock=lambda: boottime() + jump[0])
    subscription = driver.subscribe(None)
    receiver = driver.network.receivers[0]
    driver.begin_stop()
    driver.stop()
    lan.wake()
    receiver.read(1e9)
    assert lan.was_calm
    lan.put(hello(1, "bert").encode())
    arrivals, now, *_ = receiver.read(1e9)
    for outcome in driver.take(receiver, arrivals, now):
        driver.carry_out(outcome)
    assert subscription.get(timeout=WAIT).kind == "joined"
    for seconds, is_calm in ((0.0, False), (1.9, False), (2.1, True)):
        jump[0] = 100.0 + seconds
        lan.wake()
        receiver.read(1e9)
        assert lan.was_calm is is_calm, seconds


def test_what_wakes_nobody_is_read_with_the_next_beat(make):
    lan = FakeTransport()
    lan.has_quiet_socket = True
    driver = make(lan, interval=0.2)
    subscription = driver.subscribe(None)
    lan.until(lambda sent: len(sent) > 3)
    lan.put_quietly(hello(1, "bert").encode(), at=boottime())
    assert subscription.get(timeout=WAIT).kind == "joined"
    assert lan.waits <= 3, "the receiver slept"


def test_a_beat_waits_for_no_receiver_that_is_behind(make, monkeypatch):
    lan = FakeTransport()
    lan.has_quiet_socket = True
    monkeypatch.setattr(FakeTransport, "read", lambda *_, **__: Arrivals())  # all that arrived is never read
    driver = make(lan, is_started=False)
    waits = []
    monkeypatch.setattr(driver.lock, "wait_for", lambda *_: waits.append(1))
    driver.start()
    lan.until(lambda sent: len(sent) > 5)
    assert waits == []


def test_the_sender_is_woken_only_for_what_is_due_earlier(make, monkeypatch):
    driver = make(FakeTransport(), is_started=False)
    woken = []
    monkeypatch.setattr(driver.lock, "notify_all", lambda: woken.append(1))
    for number, (pause, wakes) in enumerate([(-5.0, 0), (5.0, 1)]):
        driver.wakes_at = boottime() + pause  # by itself, while it waits
        datagram = hello(number, f"n{number}").encode()
        take(driver, Arrivals([(datagram, Source(f"10.0.0.{number + 8}", ETH0), boottime())]), boottime())
        assert len(woken) == wakes


def test_a_peer_is_heard_and_its_events_are_published(make):
    lan = FakeTransport()
    driver = make(lan)
    subscription = driver.subscribe(None)
    lan.put(hello(1, "bert").encode())
    event = subscription.get(timeout=WAIT)
    assert (event.kind, event.peer.id, event.peer.address) == ("joined", "bert", "10.0.0.9")


def test_two_transports_are_one_network(make):
    lan, wlan = FakeTransport(), FakeTransport(WLAN)
    driver = make(lan, wlan)
    assert [worker.name for worker in driver.workers] == ["hello-sender", "hello-receiver", "hello-receiver-2"]
    subscription = driver.subscribe(None)
    lan.put(hello(1, "bert").encode())
    assert subscription.get(timeout=WAIT).peer.link == "eth0"
    wlan.put(hello(2, "carl").encode(), "192.168.7.9", link=WLAN)
    while (event := subscription.get(timeout=WAIT)).peer.id != "carl":
        pass
    assert event.peer.link == "wlan0"
    for transport, link in ((lan, ETH0), (wlan, WLAN)):
        transport.until(lambda sent, link=link: len(sent) > 2 and {send.link for send in sent} == {link})


def test_silence_is_judged_when_every_transport_gave_all(make):
    now = [100.0]
    lan, wlan = (FakeTransport(link, clock=lambda: now[0]) for link in (ETH0, WLAN))
    driver = make(lan, wlan, clock=lambda: now[0], is_started=False)

    def judged_at():
        return driver.look(lambda node, _: node.heard_until)

    take(driver, Arrivals([(hello(1, "bert").encode(), Source("10.0.0.9", ETH0), 100.0)]), 100.0, 0)
    take(driver, Arrivals(), 100.0, 1)
    assert judged_at() == 100.0
    lan.heard_until = wlan.heard_until = now[0] = 200.0
    take(driver, Arrivals(), 200.0, 0)
    assert judged_at() == 100.0, "the other one has read until then too, but given nothing yet"
    take(driver, Arrivals(), 200.0, 1)
    assert judged_at() == 200.0


def test_a_transport_that_does_not_open_closes_the_others():
    lan, broken = FakeTransport(), FakeTransport(failure=OSError("no socket"))
    node = Node(Parameters(), Record(name="anna"))
    driver = Driver(node, (lan, broken), clock=boottime, notify=print, wake_servers=list, errand=lambda: 1.0)
    with pytest.raises(OSError, match="no socket"), ExitStack() as stack:
        driver.network.open(stack, Parameters())
    assert not lan.is_open


def test_links_that_come_and_go_are_told(make):
    notices = SimpleQueue()
    lan = FakeTransport()
    driver = make(lan, notify=notices.put)
    assert texts(notices, 1) == ["link up"]
    lan.there = {}
    driver.network.request_scan()
    assert texts(notices, 2) == ["link gone", "no usable link: waiting for one"]
    lan.there = {ETH0: ()}
    driver.network.request_scan()
    assert texts(notices, 1) == ["link up"]


def test_a_ring_of_the_doorbell_starts_a_scan(make):
    notices = SimpleQueue()
    lan = FakeTransport()
    make(lan, notify=notices.put)
    lan.there = {ETH0: (), WLAN: ()}
    lan.ring()
    assert texts(notices, 2) == ["link up", "link up"]


def test_a_failing_scan_keeps_the_links_and_is_told_once(make):
    notices = SimpleQueue()
    lan = FakeTransport()
    driver = make(lan, notify=notices.put)
    texts(notices, 1)
    lan.there = "EMFILE: Too many open files"
    scans = lan.scans
    driver.network.request_scan()
    notice = notices.get(timeout=WAIT)
    assert (notice.level, notice.fields["error"]) == ("warning", lan.there)
    assert driver.look(lambda node, _: node.links) == (ETH0,)
    driver.network.request_scan()
    lan.until(lambda _: lan.scans >= scans + 2)
    lan.there = {ETH0: ()}
    driver.network.request_scan()
    assert texts(notices, 1) == ["interfaces can be read again"]


def test_a_send_that_fails_is_told_once_and_when_it_works(make):
    notices = SimpleQueue()
    lan = FakeTransport()
    make(lan, notify=notices.put)
    texts(notices, 1)
    lan.broken = {ETH0.broadcast: "ENETDOWN: Network is down"}
    assert texts(notices, 1) == ["sending fails"]
    count = len(lan.sent)
    lan.until(lambda sent: len(sent) > count + 3)
    lan.broken = {}
    assert texts(notices, 1) == ["sending works again"]


def test_isolation_is_told_when_the_engine_says_so(make, monkeypatch):
    """Without any scan: when that happens is tested with the engine (tests/protocol/test_isolation.py)."""
    notices, outcomes, poll = SimpleQueue(), [Outcome(isolated=False), Outcome(isolated=True)], Node.poll
    monkeypatch.setattr(Node, "poll", lambda node, now: outcomes.pop() if outcomes else poll(node, now))
    lan = FakeTransport()
    make(lan, notify=notices.put)
    told = [notices.get(timeout=WAIT) for _ in range(3)]
    assert [(notice.level, notice.text) for notice in told if "isolated" in notice.text] == [
        ("warning", "isolated"), ("info", "no longer isolated"),
    ]  # fmt: skip
    assert lan.scans == 1


def test_a_loss_in_the_kernel_makes_silence_prove_nothing(make, monkeypatch):
    mistrusted = SimpleQueue()
    monkeypatch.setattr(Node, "mistrust", lambda _, until: mistrusted.put(until))
    lan = FakeTransport()
    make(lan)
    lan.lost = 1
    lan.arrive(Arrivals([(b"HELLO|", Source("10.0.0.9", ETH0), boottime())] * BATCH))
    assert mistrusted.get(timeout=WAIT) <= boottime()


def test_datagrams_read_late_make_silence_prove_nothing(make, monkeypatch):
    mistrusted = SimpleQueue()
    monkeypatch.setattr(Node, "mistrust", lambda _, until: mistrusted.put(until))
    lan = FakeTransport()
    make(lan)
    lan.put(b"HELLO|", at=boottime() - 1.5)
    assert mistrusted.get(timeout=WAIT) <= boottime()


def test_a_flood_is_told_and_filtered_and_its_end_too(make):
    notices = SimpleQueue()
    now = [100.0]
    lan = FakeTransport(clock=lambda: now[0])
    driver = make(lan, notify=notices.put, clock=lambda: now[0], limits=Limits(datagrams=100), interval=60.0, ttl=300.0)
    texts(notices, 1)

    def arrive(count):
        now[0] += 0.3
        lan.arrive(Arrivals([(b"HELLO|", Source("10.0.0.9", ETH0), now[0])] * count))

    arrive(0)
    lan.until(lambda _: lan.heard_until == now[0])
    arrive(200)
    flood = notices.get(timeout=WAIT)
    while flood.text == "datagrams dropped":
        flood = notices.get(timeout=WAIT)
    assert (flood.text, flood.fields["limit_per_s"]) == ("flood: only known peers are heard", 100)
    assert driver.network.is_flooded
    assert lan.samples[-1][1] < 1
    for _ in range(12):
        arrive(0)
        lan.until(lambda _: lan.heard_until == now[0])
    while notices.get(timeout=WAIT).text != "flood is over":
        pass
    assert lan.samples[-1] == ((), 1.0)


def test_a_flood_lets_no_reader_of_the_table_wait(make, monkeypatch):
    now = [100.0]
    lan = FakeTransport(clock=lambda: now[0])
    driver = make(lan, clock=lambda: now[0], is_started=False)
    take(driver, Arrivals([(b"HELLO|", Source("10.0.0.9", ETH0), 99.5)]), 100.0)
    now[0] = 105.0  # the peer fell silent 5 s ago; what it said since may wait to be read
    assert joined(driver) == set()
    monkeypatch.setattr(type(driver.network), "is_flooded", True)
    lan.heard_until = 101.0
    take(driver, Arrivals(), 105.0)
    assert [peer.address for peer in driver.look(lambda node, at: node.peers(at))] == ["10.0.0.9"]
    assert len(driver.subscribe(None).peers) == 1


def test_reading_and_polling_count_as_engine_time(make):
    driver = make(FakeTransport(), is_started=False)
    take(driver, Arrivals([(b"HELLO|", Source("10.0.0.9", ETH0), 1.0)]), 1.0)
    heard = driver.engine_s
    assert heard > 0
    lan = FakeTransport()
    speaking = make(lan)
    lan.until(lambda sent: len(sent) > 2)
    assert speaking.engine_s > 0


def test_a_thread_that_dies_is_told_and_each_call_says_so(make, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    notices = SimpleQueue()
    lan = FakeTransport()
    driver = make(lan, notify=notices.put)
    subscription = driver.subscribe(None)
    monkeypatch.setattr(Node, "poll", lambda *_: 1 // 0)
    while (notice := notices.get(timeout=WAIT)).level != "critical":
        pass
    assert (notice.text, notice.fields["thread"]) == ("thread died", "hello-sender")
    assert list(subscription) == []  # a reader does not wait for ever
    with pytest.raises(RuntimeError, match="a thread of this Discovery has died") as caught:
        driver.look(lambda *_: None)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_goodbye_is_made_under_the_lock_or_not_at_all(make, monkeypatch):
    made, goodbye = [], Node.goodbye
    lan = FakeTransport()
    driver = make(lan, is_started=False)
    monkeypatch.setattr(Node, "goodbye", lambda node, why: made.append(driver.lock.acquire(False)) or goodbye(node, why))
    parts = (driver.change(lambda node, _: node), driver.network, driver.lock, "reboot")
    with driver.lock:
        threading_done = threading.Thread(target=say_goodbye, args=parts)
        threading_done.start()
        threading_done.join(WAIT)
    assert (made, lan.sent) == ([], [])  # a thread that hangs is not waited for
    say_goodbye(*parts)
    assert made == [False]


def test_each_datagram_is_sent_by_the_transport_of_its_link(make):
    lan, wlan = FakeTransport(), FakeTransport(WLAN)
    driver = make(lan, wlan, is_started=False)
    driver.carry_out(Outcome(sends=(Send(b"a", ETH0, "10.0.0.9"), Send(b"b", WLAN, "192.168.7.9"))))
    assert [[send.datagram for send in transport.sent] for transport in (lan, wlan)] == [[b"a"], [b"b"]]
