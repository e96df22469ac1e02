"""A prober with its table, driven from deadline to deadline; what the tests of PINGs share."""

from random import Random

from discoveryd.protocol.outcome import Send
from discoveryd.protocol.prober import Prober
from discoveryd.protocol.wire.messages import Pong
from tests.protocol.samples import ETH1, ProvedTable, boot, hello, row_of, source

HERE = source()
THERE = source("10.1.0.7", ETH1)
BEATS = 80
LAST = BEATS * 0.8
"""When a peer that `talk` let speak was heard last: 64.0, its HELLOs 1 to 80 with none lost."""
SUSPECT = LAST + 1.96


class Bench:
    """A prober with its table, driven from deadline to deadline."""

    def __init__(self, reaches=lambda source: True, table=ProvedTable):
        self.table = table()
        self.links = {}
        self.reaches = reaches
        self.random = Random(1)
        self.prober = Prober(self.table, self)  # it writes the PINGs itself
        self.pings = []  # (time, address, nonce)
        self.events = []
        self.now = 0.0
        self.answers = self.has_credit = True

    def ping(self, nonce, to, id, boot):
        self.pings.append((self.now, to.address, nonce))
        return Send(b"", to.link, to.address)

    def may_ping(self, source, now):
        return self.has_credit

    def nonce(self):
        return f"{self.random.getrandbits(64):016x}"

    def ask(self, path, after=0.0):
        """Send a PING now, or so many seconds later; return its nonce."""
        self.prober.ask(path, self.now + after)
        return self.pings[-1][2]

    def hear(self, now, seq, *sources, number=1, id="web1", **more):
        self.run(now)
        for one in sources or (HERE,):
            self.events += self.table.heard(hello(number, id, seq, **more), one, now)
        self.prober.in_turn.watch(row_of(self.table, number), now)

    def run(self, until):
        """Poll whenever something is due; what is asked in turn is answered at once if `answers`."""
        while (due := min(self.prober.next_deadline(), self.table.next_expiry())) <= until:
            assert due >= self.now
            self.now = due
            self.poll()
        self.now = until

    def poll(self):
        already = len(self.pings)
        self.events += self.table.expire(self.now)
        self.events += self.prober.poll(self.now, self.now)[1]
        assert min(self.prober.next_deadline(), self.table.next_expiry()) > self.now
        for _, address, nonce in self.pings[already:] if self.answers else ():
            self.answer(nonce, address)

    def answer(self, nonce, address, number=1, hears_us_s=0.1, rtt=0.002, two_way=True):
        here = THERE if address == THERE.address else source(address)
        asked = self.prober.answer(Pong(realm="default", boot=boot(number), nonce=nonce, heard_ms=100), here)
        if asked is not None:
            args = (asked.path.row, here, rtt, hears_us_s)
            self.events += self.table.answered(*args, two_way=two_way, now=self.now)

    def talk(self, *sources, beats=BEATS, lost=()):
        """Let a peer speak for a while, which answers; then it falls silent."""
        for seq in range(1, beats + 1):
            if seq not in lost:
                self.hear(seq * 0.8, seq, *sources)
        self.answers = False
        self.pings.clear()
        self.events.clear()
        return row_of(self.table, 1)

    def asked(self, since=0.0):
        return [(round(at, 6), address) for at, address, _ in self.pings if at >= since]

    def told(self):
        return [(event.kind, event.reason) for event in self.events]


def crowd(count, now=0.0, **more):
    bench = Bench()
    bench.answers = False
    for number in range(1, count + 1):
        bench.hear(now, 1, source(f"10.9.{number >> 8}.{number & 255}"), number=number, id=f"n{number}", **more)
    return bench
