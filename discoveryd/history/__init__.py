"""The history of the peers: when each was up, why it went, and how available it was. A part of the daemon.

Four ideas, which the modules below share:

- A *moment* is a time in whole milliseconds of the history's own count (`timeline`). It goes on in suspend, and never
  steps and never goes back, so that every duration is a difference of two moments. What the wall clock showed at a
  moment is known besides, for people.
- A *stay* is a time in which a peer was up under one boot: from its first HELLO to its last one. It is one row, closed
  in place, and forgotten by its end. `suspect` counts as up: what was heard again was never away.
- A *watch* is a time in which this node could tell: it ran, was awake and was not cut off. What happened outside of all
  watches is nobody's outage: availability is the time up by the time watched (`tally`).
- Days are summed up once, when they are over, and outlive the stays that they were made of (`store`).

Only peers that answered a PING, or seal, are remembered: what is forged in plain leaves no trace.
"""
