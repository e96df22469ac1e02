"""Sites of nodes that run the engine against a model of NATS, on a clock that nothing waits for."""

from __future__ import annotations

from functools import partial
from random import Random

from discoveryd.protocol.sealed.keyring import Key, Keyring
from discoveryd.simulation.network import Clock
from discoveryd.sites.engine import SiteEngine
from discoveryd.sites.row import encode_row
from discoveryd.sites.settings import SiteSettings
from discoveryd.sites.survey import SURVEY_GAP
from discoveryd.sites.values import LocalRow, Publish, SiteAnswer, SiteEvent, SiteQuestion, Speaker, Subscribe, Survey
from discoveryd.sites.values import Unsubscribe as Leave
from tests.sites.broker import Broker

KEYRING = Keyring(keys=(Key(bytes(range(32))),), mode="require")
BEAT = 0.8


def text_of(name, address="10.0.0.1", **tags):
    return encode_row(name, [address], tags, [], "", clone=False)


class Place:
    """One site: its machines, and when each of its nodes hears of a change.

    Attributes:
        truth: key -> text of what is up.
    """

    def __init__(self, world, name, lag=0.3):
        self.world, self.name, self.lag = world, name, lag
        self.truth = {}
        self.nodes = []

    def up(self, key, text):
        """Let a machine come up, or change."""
        self.truth[key] = text
        self._spread(key, "up", text)

    def gone(self, key, state="down", reason="stop"):
        """Let a machine die, or leave for a reason."""
        self.truth.pop(key, None)
        self._spread(key, state, reason)

    def restart(self, key, new, text):
        """Let a machine come up with a new boot."""
        self.truth.pop(key, None)
        self.truth[new] = text
        self._spread(new, "up", text, former=key)

    def _spread(self, key, state, text, former=""):
        for node in self.nodes:
            if node.is_up:
                hear = partial(node.hear_of, key, state, text, former=former)
                self.world.clock.after(self.world.random.random() * self.lag, hear)


class SimulatedNode:
    """A node of a site, with its engine and a connection.

    Attributes:
        table: key -> state and text as it knows its own site first-hand; of what is gone the reason, in place of the text.
        events: what its engine told.
        polls: times that something was due.
    """

    def __init__(self, place, id, *, settings=None, keyring=KEYRING, text=""):
        self.place, self.id, self.world = place, id, place.world
        self.settings = settings or SiteSettings(site=place.name)
        self.keyring = keyring
        self.text = text or text_of(id)
        self.is_up = False
        self.boots = 0
        self.events = []
        self.questions, self.answers = [], []
        self.answering = None
        self.is_isolated = False
        self.connection = None
        self.engine = None
        self.table = {}
        self.polls, self._due = 0, None
        self._generation = 0

    @property
    def key(self):
        return f"{self.id} {self.boot}"

    @property
    def clock(self):
        return self.world.clock

    def start(self, knows=None):
        """Start the daemon: it learns the table of its site within a second, unless it knows it already."""
        self.boots += 1
        self.boot = f"{self.world.random.getrandbits(64):016x}"
        self.began = self.clock.now
        self.is_up = True
        self._generation += 1
        self.engine = SiteEngine(
            self.settings, node=self.id, name=self.id, boot=self.boot, random_bytes=self.world.random.randbytes,
            keyring=self.keyring,
        )  # fmt: skip
        self.table = {} if knows is None else dict(knows)
        self._surveyed = None
        for key, text in self.place.truth.items() if knows is None else ():
            self.clock.after(self.world.random.random(), partial(self.hear_of, key, "up", text, self._generation))
        self.place.up(self.key, self.text)
        self.table[self.key] = ("up", self.text)
        self.connect()
        self._turn(self._generation)

    def stop(self, state="down"):
        """End the daemon: killed, or with a goodbye."""
        self.is_up = False
        self.disconnect()
        self.place.gone(self.key, state)

    def connect(self):
        self.connection = self.world.broker.connect(self._hear, self.place.name)
        self.do(self.engine.connected(True, self.clock.now))

    def disconnect(self):
        if self.connection is not None:
            self.world.broker.close(self.connection)
            self.connection = None
        if self.is_up:
            self.do(self.engine.connected(False, self.clock.now))

    def hear_of(self, key, state, text, generation=None, former=""):
        """Learn first-hand of a change in this site, in the place of a former boot; what is gone by now is not learned."""
        if not self.is_up or self.is_isolated or (generation or self._generation) != self._generation:
            return
        if state == "up" and self.place.truth.get(key) != text:
            return
        self.table.pop(former, None)
        if key not in self.place.truth or state == "up":
            self.table[key] = (state, text)
        self.survey()

    def survey(self):
        now = self.clock.now
        rows = None
        if self.table != self._surveyed:
            self._surveyed = dict(self.table)
            rows = tuple([
                LocalRow(key, state, text) if state == "up" else LocalRow(key, state, "", text or "stop")
                for key, (state, text) in self.table.items()
            ])  # fmt: skip
        speakers = []
        for node in self.place.nodes:
            if node is not self and node.is_up and node.settings.can_speak and self.table.get(node.key, ("",))[0] == "up":
                seq = int((now - node.began) / BEAT)
                heard = node.began + seq * BEAT
                speakers.append(Speaker(node.id, node.boot, seq, heard, BEAT))
        seq = int((now - self.began) / BEAT)
        self.do(self.engine.learn(Survey(rows, tuple(speakers), seq, self.is_isolated), now))

    def do(self, outputs):
        for output in outputs:
            match output:
                case Publish() if self.connection is not None:
                    self.world.broker.publish(self.connection, output.subject, output.payload)
                case Subscribe() if self.connection is not None:
                    self.connection.subjects.add(output.subject)
                case Leave() if self.connection is not None:
                    self.connection.subjects.discard(output.subject)
                case SiteEvent():
                    self.events.append((self.clock.now, output))
                    self.world.told(self, output)
                case SiteQuestion():
                    self.questions.append(output)
                    if self.answering:
                        self.do(self.engine.answer(output.number, self.answering(output.body), self.clock.now))
                case SiteAnswer():
                    self.answers.append(output)

    def rows(self, site=None, *states):
        """Return the names of other sites' peers by key."""
        found = self.engine.rows(site, self.clock.now)
        return {f"{row['id']} {row['boot']}": row for row in found if not states or row["state"] in states}

    def status(self):
        return self.engine.status(self.clock.now)

    def site(self, name):
        return next((site for site in self.status()["sites"] if site["name"] == name), None)

    def dropped(self):
        return {one["reason"]: one["count"] for one in self.status()["dropped"]}

    def _hear(self, subject, payload):
        if self.is_up:
            if subject == self.engine.own_beats:
                self.survey()
            self.do(self.engine.receive(subject, payload, self.clock.now))
            self._schedule()

    def _turn(self, generation):
        if self.is_up and generation == self._generation:
            self.survey()
            self._schedule()
            self.clock.after(SURVEY_GAP, partial(self._turn, generation))

    def _schedule(self):
        due = self.engine.next_deadline(self.clock.now)
        if due != self._due:
            self._due = due
            self.clock.at(due, partial(self._poll, due, self._generation))

    def _poll(self, due, generation):
        if self.is_up and generation == self._generation and due == self._due:
            self._due = None
            self.polls += 1
            self.survey()
            self.do(self.engine.poll(self.clock.now))
            self._schedule()


class World:
    """Sites, their nodes, and one broker.

    Attributes:
        watchers: called with node and event.
    """

    def __init__(self, seed=1, faults=None):
        self.clock = Clock()
        self.clock.now = 1000.0
        self.random = Random(seed)
        self.broker = Broker(self.clock, self.random, faults)
        self.places = {}
        self.watchers = []

    def place(self, name, nodes=2, *, lag=0.3, start=True, **settings):
        place = self.places[name] = Place(self, name, lag)
        for number in range(nodes):
            node = SimulatedNode(place, f"{name}-{number}", settings=SiteSettings(site=name, **settings))
            place.nodes.append(node)
        if start:
            for node in place.nodes:
                node.start()
        return place

    def told(self, node, event):
        for watcher in self.watchers:
            watcher(node, event)

    def run(self, seconds):
        self.clock.run(self.clock.now + seconds, most=100_000_000)
