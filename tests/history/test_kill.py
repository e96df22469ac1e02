"""A daemon killed amid a thousand events: what was written is whole, in its order, and nothing else is lost."""

import subprocess
import sys
from pathlib import Path

from discoveryd.history.reading import Reader
from discoveryd.history.store import Store

ROOT = Path(__file__).parents[2]
SCRIPT = """
import select, sys
from tests.history.test_keeper import Stage
stage = Stage(sys.argv[1])
stage.keeper.start()
for number in range(1, 1001):
    stage.engine.now += 0.001
    stage.engine.hear(number, f"n{number}")
    if number % 10 == 0:
        select.select([], [], [], 0.02)  # the engine is 20 ms older
        print(stage.keeper.status()["written"], flush=True)
while True:
    select.select([], [], [], 0.05)
    print(stage.keeper.status()["written"], flush=True)
"""


def test_a_kill_amid_a_thousand_events_leaves_a_sound_file(tmp_path):
    path = str(tmp_path / "history.db")
    with subprocess.Popen([sys.executable, "-c", SCRIPT, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        told = next(int(line) for line in process.stdout if int(line) >= 300)
        process.kill()
    store = Store(path)
    try:
        assert store.rows("PRAGMA integrity_check", {}) == [("ok",)]
        kept = [row[0] for row in store.rows("SELECT id FROM event JOIN node USING (n) ORDER BY e", {})]
        assert len(kept) >= told
        assert kept == [f"n{number}" for number in range(1, len(kept) + 1)]
        assert store.rows("SELECT count(*) FROM stay WHERE end IS NULL", {}) == [(len(kept),)]
        start = store.timeline.begin(store.last_moment(), 0.0, 1_700_000_000.0)
        store.begin_run(start, 0)
        assert store.open_stays() == []
        assert {one["ended"] for one in Reader(store, start).history("", None)["stays"]} == {"unknown"}
    finally:
        store.close()
