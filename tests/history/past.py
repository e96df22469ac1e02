"""A store with a run that has begun, literal times, and sightings: what the tests of the history share."""

from discoveryd.history.recorder import Clocks, Recorder
from discoveryd.history.store import NodeFacts, Store
from discoveryd.history.timeline import DAY
from discoveryd.protocol.table.journal import Sighting
from discoveryd.protocol.wire.record import Record

MIDNIGHT = 1_699_920_000
"""The beginning of a day in UTC, seconds since 1970."""
START = MIDNIGHT * 1000


class Past:
    """A store, written by a recorder whose clocks are set by hand: seconds since `MIDNIGHT`."""

    def __init__(self, path, *, pages=None, at=0.0):
        self.path = str(path)
        self.store = Store(self.path, pages=pages)
        self.at = at
        self.step = self.slept = 0.0
        self.recorder = Recorder(self.store, self.clocks())
        self.write(self.recorder.begin)

    def clocks(self):
        return Clocks(self.at, MIDNIGHT + self.at + self.step, self.at - self.slept)

    def write(self, act, *args):
        self.store.begin()
        try:
            found = act(*args)
            self.store.commit()
        except BaseException:
            self.store.rollback()
            raise
        return found

    def look(self, at, *, heard=None, step=None, slept=0.0):
        """Note that the node is there at a time; `slept` seconds of suspend have passed since the last look."""
        self.at, self.slept = at, self.slept + slept
        self.step = self.step if step is None else step
        return self.write(self.recorder.look, self.clocks(), heard)

    def see(self, *seen):
        self.look(max(self.at, *(one.at for one in seen)))
        self.write(self.recorder.take, seen)

    def stop(self, at):
        self.at = at
        self.write(self.recorder.stop, at)
        self.store.close()


def saw(kind, at, id="n1", boot="b1", *, since=None, heard=None, former="", former_heard=0.0, **record):
    """Return a sighting; a peer is named after its id, and its address after its last letter."""
    record = Record(**{"name": id, **record})
    since, heard = at if since is None else since, at if heard is None else heard
    return Sighting(kind, f"it {kind}", at, id, boot, record, f"10.0.0.{id[-1]}", "eth0", since, heard, former, former_heard)


def facts(id):
    return NodeFacts(id, id, "10.0.0.1", "eth0", "{}", "[]")


def stays(store):
    """Return peer, boot, start, end (seconds since `MIDNIGHT`) and how it ended."""
    rows = store.rows("SELECT id, boot, start, end, ended FROM stay JOIN node USING (n) ORDER BY start, s", {})
    return [(id, boot, *(None if one is None else (one - START) / 1000 for one in (start, end)), ended)
            for id, boot, start, end, ended in rows]  # fmt: skip


def day(number, seconds=0.0):
    """Return a moment."""
    return START + number * DAY + round(seconds * 1000)
