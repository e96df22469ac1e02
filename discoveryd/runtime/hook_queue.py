"""Which events wait for which hook, and in which order they are run; pure, guarded by the lock of `Hooks`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

from discoveryd.frozen import frozen
from discoveryd.protocol.table.peer import Event, Peer, peer_json
from discoveryd.query.reply import encode

FindingEvent = Literal["finding", "finding-gone"]
SiteHookEvent = Literal["site-unreachable", "site-back"]
FOR_FINDINGS = "finding-"
FOR_SITES = "site-"
"""What the name of a hook begins with that is told of findings, or of sites, and of nothing else."""


@frozen
class Occasion:
    """What a hook is told: an event of a peer or of a site, that this node itself is cut off, or a finding.

    Attributes:
        kind: that of the event, or ``isolated``, ``connected``, ``finding``, ``finding-gone``, ``site-unreachable``,
            ``site-back``.
        seq: that of the event; None without a peer.
        peer: after the change.
        reason: a clause for people.
        coalesced: number of earlier events of the same peer, or of the same finding, that this event replaces.
        finding: as ``status`` shows it.
        site: that the event is about; empty for none.
    """

    kind: str
    seq: int | None = None
    peer: Peer | None = None
    reason: str
    coalesced: int = 0
    finding: Mapping[str, Any] | None = None
    site: str = ""

    @classmethod
    def of(cls, event: Event) -> Occasion:
        """Return the occasion of an event of the table."""
        return cls(kind=event.kind, seq=event.seq, peer=event.peer, reason=event.reason)

    @property
    def topic(self) -> str:
        """The beginning of the names of hooks that are told of it; empty for all that have none of their own."""
        return FOR_FINDINGS if self.finding is not None else FOR_SITES if self.site else ""

    @property
    def lane(self) -> str:
        """The peer id, the site, or the code and subject of a finding: events of a lane are told one by one."""
        if self.finding:
            return f"{self.finding['code']}/{self.finding['subject']}"  # no id has a slash
        if self.site:
            return f"{FOR_SITES}/{self.site}"
        return self.peer.id if self.peer else ""

    @property
    def key(self) -> tuple[str, str]:
        """The key under which the newest event replaces earlier events; two clones have different keys."""
        return self.lane, self.peer.boot if self.peer and self.peer.clone else ""

    @property
    def is_vouched(self) -> bool:
        """Whether the peer cannot be made up: it answered a PING, or seals."""
        return self.peer is None or self.peer.rtt_ms is not None or bool(self.peer.key)

    def line(self) -> bytes:
        """Return the event as ``watch`` encodes it, with `coalesced` besides."""
        peer = peer_json(self.peer) if self.peer else None
        shown = {"event": self.kind, "seq": self.seq, "peer": peer, "reason": self.reason, "coalesced": self.coalesced}
        more = {"finding": self.finding} if self.finding else {"site": self.site} if self.site else {}
        return encode({**shown, **more})

    def environment(self) -> dict[str, str]:
        """Return the same in short, for scripts that read no JSON."""
        found = {
            "DISCOVERYD_EVENT": self.kind,
            "DISCOVERYD_SEQ": "" if self.seq is None else str(self.seq),
            "DISCOVERYD_PEER": (self.peer.name or self.peer.address) if self.peer else "",
            "DISCOVERYD_ADDRESS": self.peer.address if self.peer else "",
            "DISCOVERYD_ID": self.peer.id if self.peer else "",
        }
        if self.finding:
            found |= {"DISCOVERYD_FINDING": self.finding["code"], "DISCOVERYD_SUBJECT": self.finding["subject"]}
        if self.site:
            found["DISCOVERYD_SITE"] = self.site
        if self.peer and self.peer.goodbye_reason:
            found["DISCOVERYD_GOODBYE"] = self.peer.goodbye_reason
        # nothing that ends a line, commands a terminal or cannot be encoded
        return {name: "".join(char if char.isprintable() else "?" for char in text) for name, text in found.items()}


@frozen(kw_only=False)
class Job:
    """A run of a hook."""

    hook: str
    occasion: Occasion


Trouble = Literal["coalescing", "full"]


class WaitingEvents:
    """The newest event of each peer that waits for one hook: peers that can be made up wait behind all others.

    Attributes:
        troubles: ways in which the hook lags behind, until nothing waits any more.
    """

    def __init__(self) -> None:
        self.troubles: set[Trouble] = set()
        self._vouched: dict[tuple[str, str], Occasion] = {}
        self._others: dict[tuple[str, str], Occasion] = {}

    def __len__(self) -> int:
        return len(self._vouched) + len(self._others)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return chain(self._vouched, self._others)

    def put(self, occasion: Occasion, limit: int) -> Trouble | None:
        """Let an event wait.

        Returns:
            what that took: an earlier event of the peer was replaced, or an event was dropped; None for neither.
        """
        key = occasion.key
        trouble: Trouble | None = None
        earlier = self._vouched.get(key) or self._others.get(key)
        if earlier is not None:
            occasion = replace(occasion, coalesced=earlier.coalesced + 1)
            trouble = "coalescing"
        elif len(self) >= limit:
            trouble = "full"
            if not (occasion.is_vouched and self._others):
                return trouble
            self._others.popitem()
        if occasion.is_vouched or key in self._vouched:
            self._others.pop(key, None)
            self._vouched[key] = occasion
        else:
            self._others[key] = occasion
        return trouble

    def pop(self, key: tuple[str, str]) -> Occasion:
        """Remove and return the event of a key."""
        return self._vouched.pop(key, None) or self._others.pop(key)


class HookQueue:
    """Runs that wait and runs under way, for each hook apart: a hook that hangs fills only its own queue.

    Of each peer only the newest event waits, in the place of the event that it replaced, so that a peer that changes
    all the time has its turn, too. Peers that never answered a PING, and do not seal, wait behind all others and make
    room for them. A hook is never run twice at once for the same peer.

    Args:
        slots: runs under way at the same time. Each hook leaves a slot to each other hook, as far as they go.
        limit: peers whose event may wait for one hook; past it the events of further peers are dropped.
    """

    def __init__(self, *, slots: int, limit: int) -> None:
        self.slots = slots
        self.limit = limit
        self.coalesced = 0
        self.dropped = 0
        self._waiting: dict[str, WaitingEvents] = {}  # in turn: the hook that began last comes last
        self._running: defaultdict[str, set[str]] = defaultdict(set)  # the lanes of each hook

    @property
    def hooks(self) -> tuple[str, ...]:
        """The paths of the hooks, in turn."""
        return tuple(self._waiting)

    @property
    def waiting(self) -> int:
        """The number of runs that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        """The number of runs under way."""
        return sum(map(len, self._running.values()))

    def set_hooks(self, hooks: Iterable[str]) -> None:
        """Replace the hooks; what waits for a hook that is gone is forgotten."""
        wanted = dict.fromkeys(hooks)
        known = {hook: waiting for hook, waiting in self._waiting.items() if hook in wanted}
        self._waiting = known | {hook: WaitingEvents() for hook in wanted if hook not in known}

    def counts(self) -> dict[str, int]:
        """Return what was ``coalesced`` and ``dropped`` so far, and what is ``running`` and ``waiting`` now."""
        done = {"coalesced": self.coalesced, "dropped": self.dropped}
        return {**done, "running": self.running, "waiting": self.waiting}

    def clear(self) -> None:
        """Forget the hooks, and all that waits and runs."""
        self.set_hooks(())
        self._running.clear()

    def put(self, occasion: Occasion) -> list[tuple[str, Trouble]]:
        """Let an event wait for each hook that it is for.

        Returns:
            which hooks began to lag behind by this, and how; once, until they have caught up.
        """
        begun = []
        for hook, queue in self._waiting.items():
            if topic_of(hook) != occasion.topic:
                continue
            trouble = queue.put(occasion, self.limit)
            self.coalesced += trouble == "coalescing"
            self.dropped += trouble == "full"
            if trouble is not None and trouble not in queue.troubles:
                queue.troubles.add(trouble)
                begun.append((hook, trouble))
        return begun

    def take(self) -> Job | None:
        """Return the run to start now, None if none may start; `done` must follow."""
        if self.running >= self.slots:
            return None
        share = max(1, self.slots - len(self._waiting) + 1)
        for hook in sorted(self._waiting, key=lambda path: len(self._running[path])):
            waiting, busy = self._waiting[hook], self._running[hook]
            key = next((key for key in waiting if key[0] not in busy), None)
            if key is not None and len(busy) < share:
                occasion = waiting.pop(key)
                busy.add(occasion.lane)
                self._waiting[hook] = self._waiting.pop(hook)  # else the first by name would come first for ever
                if not waiting:
                    waiting.troubles.clear()
                return Job(hook, occasion)
        return None

    def done(self, job: Job) -> None:
        """Note that a run has ended."""
        self._running[job.hook].discard(job.occasion.lane)


def topic_of(hook: str) -> str:
    """Return the beginning of the name of a hook that says what alone it is told of; empty for the rest."""
    name = os.path.basename(hook)
    return next((topic for topic in (FOR_FINDINGS, FOR_SITES) if name.startswith(topic)), "")
