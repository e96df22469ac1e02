"""The long bars of the history, run by tests/long/run.py: pytest does not find a file of this name by itself."""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from discoveryd.history.reading import Reader
from discoveryd.history.recorder import Clocks, Recorder
from discoveryd.history.store import Store
from discoveryd.protocol.wire.kinds import decode
from discoveryd.protocol.wire.messages import Ping
from discoveryd.query.request import Filter
from tests.protocol.engine import pong
from tests.protocol.samples import boot, hello, make_node, source

ROOT = Path(__file__).parents[2]
KILLED = """
import select, sys, time
from tests.history.test_keeper import Stage
stage = Stage(sys.argv[1])
stage.keeper.start()
for number in range(1, 1001):
    stage.engine.now += 0.005
    stage.engine.hear(number, f"n{number}")
    print(time.monotonic(), flush=True)
    select.select([], [], [], 0.005)  # the pace of the events
select.select([], [], [], 60)  # it is killed
"""
FULL = """
import os, select, sys
from tests.history.test_keeper import Stage
stage = Stage(sys.argv[1] + "/history.db")
stage.keeper.start()
number = 0
while not stage.keeper.status()["error"]:
    number += 1
    stage.engine.now += 0.001
    stage.engine.hear(1 + number % 200, f"n{number % 200}", seq=number)
    stage.engine.hear(1 + number % 200, f"n{number % 200}", seq=number, goodbye=True)
    select.select([], [], [], 0.0002)
print(stage.keeper.status()["error"], flush=True)
os.remove(sys.argv[1] + "/filler")
while stage.keeper.status()["error"]:
    stage.engine.now += 0.1
    select.select([], [], [], 0.1)
stage.engine.hear(999, "last")
events = stage.events()
print(events[0][1], events[-1][0], stage.keeper.status()["replaced"], flush=True)
stage.keeper.stop()
"""


def test_a_year_of_1000_peers_is_small_and_soon_told():
    script = ROOT / "tests/benchmarks/history.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert "missed" not in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("count", [200, 500, 900])
def test_a_kill_amid_1000_events_costs_less_than_a_second(tmp_path, count):
    path = str(tmp_path / "history.db")
    with subprocess.Popen([sys.executable, "-c", KILLED, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        noted = [float(process.stdout.readline()) for _ in range(count)]
        killed = monotonic()
        process.kill()
    store = Store(path)
    [(kept,)] = store.rows("SELECT count(*) FROM event", {})
    assert store.rows("PRAGMA integrity_check", {}) == [("ok",)]
    store.close()
    assert kept >= sum(moment < killed - 1 for moment in noted)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_survived(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    script = f'mount -t tmpfs -o size=600k tmpfs "$1" && head -c 300000 /dev/zero > "$1/filler" && exec {sys.executable} -c "$2" "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(place), FULL], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    full, again = done.stdout.splitlines()
    assert "full" in full
    assert again.split()[1:] == ["last", "0"]


def test_a_thousand_forged_peers_a_second_leave_no_trace(tmp_path):
    """Three minutes of a stranger, in the engine; a peer that was there before goes away and comes back meanwhile."""
    node = make_node()
    journal = node.table.event_log.journal
    journal.wake = lambda: None
    store = Store(str(tmp_path / "history.db"))
    recorder = Recorder(store, Clocks(0.0, 1_700_000_000.0, 0.0))
    store.begin()
    recorder.begin()
    store.commit()
    forged = 0

    def is_away(now):
        return 60.0 <= now < 120.0 or 150.0 <= now < 160.0

    def answer(sends, now):
        for send in sends:
            said = decode(send.datagram) if send.datagram.startswith(b"PING") else None
            if isinstance(said, Ping) and send.to == "10.0.0.7" and not is_away(now):
                node.receive(pong(said.nonce, number=1), source(), now)

    for tick in range(2000):
        now = tick / 10
        if not is_away(now):
            answer(node.receive(hello(1, "web1", tick + 1).encode(), source(), now).sends, now)
        for _ in range(100 if tick > 50 else 0):
            forged += 1
            said = hello(forged + 10, f"f{forged}").encode()
            answer(node.receive(said, source(f"10.{forged >> 16 & 255}.{forged >> 8 & 255}.{forged & 255}"), now).sends, now)
        answer(node.poll(now).sends, now)
        if tick % 10 == 0:
            notes, lost = journal.take()
            assert lost == 0
            store.begin()
            recorder.look(Clocks(now, 1_700_000_000.0 + now, now), None)
            recorder.take(notes)
            store.commit()
    found = Reader(store, recorder.moment(Clocks(200.0, 0.0, 200.0)))
    [peer] = found.availability(None, Filter())["peers"]
    stays = [(one["boot"], one["ended"]) for one in found.history("", None)["stays"]]
    store.close()
    print(f"{forged} forged, {len(node.table)} rows, {peer}, {stays}")
    assert (peer["id"], peer["downs"]) == ("web1", 2)
    assert peer["down_s"] == pytest.approx(70.0, abs=2.0)
    assert stays == [(boot(1), "down"), (boot(1), "down"), (boot(1), None)]
