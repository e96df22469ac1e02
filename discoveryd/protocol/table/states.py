"""The life of a row: its four states, and what changes them.

A row stands for one run (boot) of one node, or for a bare peer, which is known by its address alone. It begins ``up``
with its first HELLO.

- ``up``: heard less than two missed HELLOs ago (2.45 intervals of the sender), by a HELLO that counts or by a PONG.
- ``suspect``: listed like ``up``, but in doubt. The prober PINGs it several times a second. Three things cause doubt:
  two HELLOs were missed; we slept, and do not know what we missed; or a sender said goodbye in the name of a peer
  whose last goodbye was not its own.
- ``down``: silent for its ttl, or given up before that, on evidence: so many PINGs without an answer that loss cannot
  explain it, or the word of its machine that no discoveryd listens there. A row that never answered a PING may also
  have to go in a flood, or because a full table needs its place.
- ``left``: it said goodbye.

``up`` and ``suspect`` are *live*: such rows are listed. A row that is ``down`` or ``left`` is remembered for a while,
so that a peer which comes back has its history, and a HELLO that its goodbye overtook does not revive it. Every row,
in whatever state, is ``up`` again as soon as it is *heard*: a HELLO counts, or a PING of ours is answered.

Besides its state three things are true of a row, or not:

- *replaced* (`Row.is_replaced`): a newer boot of the same id spoke, and this row is hidden for two of its intervals.
  If it is heard twice in that time, or answers a PING, it is shown again: it was no restart. A replaced row raises no
  event, does not become suspect, and is simply removed at the end.
- *clone* (`Row.clone`): several listed rows have the same id, or the id is our own. Each of them is flagged, and the
  last of them loses the flag.
- *unproven* (not `Row.proved`): it never answered a PING and does not seal. Anybody can forge a plain HELLO, so an
  unproven row lives for four beats and ten seconds at most, counts for little, replaces no proved row, and is the first
  to make room.

The order of calls: the table calls `Row.become` with a cause; the row finds the next state in `TRANSITIONS` and changes
itself; nothing else changes a state. The table then files the row (suspects, gone rows) and asks the event log for the
event. The prober PINGs suspects, rows that left, and rows heard by their PONGs alone, and reports to the table what the
answers, or their absence, prove.

In time nothing is late: `Row.state_at` gives the true state at any moment, also where no timer ran since.
"""

from typing import Literal

from discoveryd.protocol.table.peer import State

Cause = Literal["heard", "overdue", "slept", "doubted", "expired", "disproved", "displaced", "goodbye"]
"""Why a state changes:

- heard: a HELLO counts, or a PING was answered.
- overdue: two HELLOs were missed.
- slept: we were asleep, or lost datagrams, and the row should have been heard in that time.
- doubted: a goodbye that is perhaps not its own.
- expired: the ttl is over.
- disproved: probes, or the word of its machine, prove that it is gone; an ``up`` one after its will.
- displaced: a flood or a full table leaves no place for what never answered.
- goodbye: it leaves.
"""

TRANSITIONS: dict[tuple[State, Cause], State] = {
    ("up", "heard"): "up",
    ("up", "overdue"): "suspect",
    ("up", "slept"): "suspect",
    ("up", "doubted"): "suspect",
    ("up", "expired"): "down",
    ("up", "disproved"): "down",
    ("up", "displaced"): "down",
    ("up", "goodbye"): "left",
    ("suspect", "heard"): "up",
    ("suspect", "slept"): "suspect",
    ("suspect", "doubted"): "suspect",
    ("suspect", "expired"): "down",
    ("suspect", "disproved"): "down",
    ("suspect", "displaced"): "down",
    ("suspect", "goodbye"): "left",
    ("down", "heard"): "up",
    ("left", "heard"): "up",
}
"""The next state, by state and cause. Any other pair is an error of the caller, and raises KeyError."""
