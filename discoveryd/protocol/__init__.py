r"""The wire protocol, byte by byte, and (in the modules below) the engine that speaks it.

**In one paragraph.** Every node broadcasts a HELLO of about 80 bytes each 0.8 s: who it is, for how
long this HELLO holds, and a digest of its record. Whoever hears it lists the node until that time is
over. What a node says of itself (its record) travels in every tenth HELLO and to whoever asks. PING and
PONG tell whether one node is there, how far away, and whether it hears us: all are asked in turn, and who
missed two HELLOs several times a second. A goodbye ends it at once.

Every datagram
==============

- UDP over IPv4, source *and* destination port 3400, also when sent by unicast.
- Printable ASCII, at most 1024 bytes, fields separated by ``|``. The first field is the kind, the second the
  version, now ``2``.
- **Only a steady HELLO ends in a digit**, plain or sealed; whatever else a node says ends in ``|``, or sealed in a
  letter. So a packet filter tells it, by how it was sent and its last byte alone, from what somebody waits for.
- Forward compatibility: flags of other letters, further fields before the last ``|`` and keys of the record
  that are not known are passed over. Another version is dropped, reason ``version`` (0.1.0 spoke version 1).
- Only what comes from a node itself speaks for it: nobody relays.

============  ==============================================================================
field         form
============  ==============================================================================
*realm*       1 to 16 of ``A-Z a-z 0-9 . _ -``; nodes of another realm are not listed
*id*          1 to 32 of the same: the node, for good
*boot*        16 of ``0-9 a-f``: one run of the node, random
*interval*    decimal milliseconds, 1 to 600000: until the next HELLO, more or less
*ttl*         decimal milliseconds, *interval* to 3600000: how long this HELLO holds
*lasting*     flags that hold for more than this HELLO, up to 16 letters; there are none yet
*digest*      16 of ``0-9 a-f``: BLAKE2b of the record's bytes, 8 bytes long
*seq*         decimal, 0 to 4294967295: one more with each beat
*once*        flags of this HELLO alone: any of ``s`` (solicit), ``g`` (goodbye), mostly empty
*record*      JSON, at most 700 bytes, without ``|``
*nonce*       16 of ``0-9 a-f``, random, repeated by the answer
*to*          boot of the node that is meant, or sixteen zeros for whoever has the address
*heard*       decimal milliseconds, 0 to 9999999, or ``-`` for never
*held*        decimal microseconds, 0 to 9999999
============  ==============================================================================

HELLO
=====

::

    HELLO|2|<realm>|<id>|<boot>|<interval>|<ttl>|<lasting>|<digest>|<seq>
    HELLO|2|<realm>|<id>|<boot>|<interval>|<ttl>|<lasting>|<digest>|<seq>|<once>|
    HELLO|2|<realm>|<id>|<boot>|<interval>|<ttl>|<lasting>|<digest>|<seq>|<once>|<record>|
    HELLO|

The **steady** HELLO has no record and no *once*: at most 118 bytes. The **full** one has it: at most 823 bytes. The
**bare** one is all that the simplest sender needs to say; its sender is listed as a bare peer, known by
its address alone, and line ends or NULs after it are passed over. A steady, a full and a bare one::

    HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|41
    HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|50||{"name":"web1","tags":{"rack":"b2"}}|
    HELLO|

A solicit (the first HELLO after a start, here of a node whose record is the shortest), and a goodbye::

    HELLO|2|default|web2|a3d1e00942bb7c15|800|4000||ba158d96e1f06bbb|0|s|{"name":"web2"}|
    HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|52|g|

*Any bytes give a HELLO, a bare HELLO or a* `WireError`, *nothing else, in linear time.*

The record
----------

A JSON object, ASCII, every other character and ``|`` escaped (``|`` is ``\u007c``):

- ``name``: text, 1 to 64 characters. The only key that must be there.
- ``tags``: object of texts; keys of 1 to 64 characters, values of up to 255.
- ``services``: array of objects with ``name`` (1 to 64 characters), ``port`` (0 to 65535), and where
  they differ from ``tcp`` and ``{}``, ``proto`` (1 to 16 characters) and ``tags``.

All characters must be printable (no control characters, no marks that turn the direction of writing):
they end on somebody's terminal. The digest is that of the bytes as sent, whatever they mean.

*Any bytes give a record or a* `WireError`, *nothing else, in linear time.*

PING and PONG
=============

::

    PING|2|<realm>|<id>|<boot>|<nonce>|<to>|
    PONG|2|<realm>|<boot>|<nonce>|<heard>|<held>|

*id* and *boot* are those of the sender, in a PONG *boot* is that of the node which answers. *to* says who is meant,
and nobody else answers: the first 8 bytes, in hexadecimal, of the unkeyed BLAKE2b (of 8 bytes) over the *id*, a bar
and the *boot* (here ``db1|a3d1e00942bb7c15``); zeros where only the address is known; the boot alone where the PING is
sealed. *heard* says how long ago it last heard a HELLO of the pinger, so that the pinger knows of both directions of
the path. *held* says how long the PING lay there before the PONG was written; where that is less than what the pinger
measured, the round trip is the rest. A PONG is always shorter than its PING. A PING, its answer, and one of a node
that never heard us::

    PING|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|5858a94b2814a77c|
    PONG|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|312|85|
    PONG|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|-|85|

*Any bytes give a PING, a PONG or a* `WireError`, *nothing else, in linear time.*

Sealed
======

Where there are keys a datagram travels as ``SEALED|2|<key id>|<node id>|<boot>|<counter>|<body>|<scope>[0]``: key id 8
hexadecimal digits; counter hexadecimal without leading zeros, below 2^63, one more with each sealed datagram of the
boot, whatever the scope and key; body base 64, or ``:`` and base 85 (RFC 1924, ``/`` for ``|``) where that would pass
1024 bytes; scope ``b`` (to all on a link: bound to the sender's address there, 4 bytes), ``u`` (to one node on a link:
bound to that address and to the boot of that node) or ``s`` (to seeds, and to whoever is beyond the links: bound to
nothing); ``w`` is kept for later, and refused; ``0`` follows exactly if a steady HELLO is inside. What it is bound to
is authenticated but not sent. ChaCha20-Poly1305; key = BLAKE2b-256 keyed with the shared key, person
``discoveryd-boot``, of ``realm|id|boot``; nonce = counter, 96 bits big-endian; associated data = all before the body,
all after it, ``|``, and what it is bound to.
Inside: ``H|<interval>|<ttl>|<lasting>|<digest>|<seq>[|<once>[|<record>]]`` (digest empty if it is the record's),
``P|<nonce>|<to>`` (to empty if it is the boot bound to, or sixteen zeros in the other scopes),
``A|<nonce>|<heard>|<held>``, then NULs so that PONG <= 155 <= PING <= 158 <= HELLO. One of 10.0.0.1 (one line)::

    SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|U8U/YrC1ziyx3TyZNLUaNMXJPk5fO62VtfAXcsV7H6d8h1wXtkutd9ocPN
        XNMDKXnA0BEzLqNY6lSHasfZwZXnDwJxZC56u96C3vQJSTwtGbFp9m8sqI|b0

*Any bytes give a plain datagram or a* `WireError`, *nothing else, in linear time.* Why this is safe:
`discoveryd.protocol.seal`.

- **Ways.** Each HELLO goes out in the way that the sender is told (``security.mode`` and ``send_with``: sealed with
  one key, or plain), and once more, with a counter of its own, in each other way that a live peer on that link
  uses, as far as the sender has the key; plain not where ``require`` is the mode. With *w* ways the interval is
  stretched as if there were *w* times as many nodes. A seed that is not heard gets the other ways in turn, one with
  each HELLO. What is for one node goes in the way it was heard last, scope ``u``. A goodbye goes as HELLOs do.
- **One peer, several ways.** A peer counts as heard in the way that the receiver prefers: in mode ``off`` plain, else
  the key that it sends with itself, then its others, plain last. Another way is taken over when it is
  better, or when for 3 beats nothing came in the former.
- **At which address.** What came from a link of ours is opened with the address that it came from, so it counts only
  from the one it was said at (``bad-seal``): what somebody records is worth nothing from anywhere else. A node takes
  to be on its link whom its prefix holds, and whom it heard there by broadcast (see *On a link*), in both directions, a
  seed too. What its sender sees otherwise (``b`` or ``u`` from beyond our links, ``s`` from one of them) is dropped,
  reason ``unbound``. How a datagram came says nothing of its scope: what is for all may come by unicast.
- **Once.** A counter is taken once: of each boot within a window of 1,024 for scope ``b``, and one for the others
  (``replayed``).
- **Proof.** A boot that is not known is not listened to (``unproven``): its HELLO is answered with a PING
  whose nonce nobody can foresee: at most 64 a second to one address and 1,000 to all for boots never asked before, 32
  and 1,000 for others; to one that does not answer each 0.3 s, after 8 times after 0.6, 1.2 … 60 s. Its PING is
  answered once, if it is for us alone (not of scope ``b``, and *to* is our boot). Its PONG, not of scope ``b``, with
  the nonce, proves that it lives: it is listened to from then on, what it sealed before is void, and it is sent a
  steady HELLO that solicits (and a full one if it did).
- **News.** Only a HELLO with a *seq* above all before shows that a sealed peer lives, and a PONG. When neither came
  for its ttl, or it is down or has left, it has to prove anew that it lives. So what somebody recorded on another
  link, or when we did not hear it, is worth nothing.
- **Plain beside sealed.** In mode ``require`` what is plain is dropped (``plain``), bare HELLOs too. In mode ``accept``
  what is plain and names the boot or the id of a live peer that seals is dropped (``downgrade``), and a plain boot does
  not take over the row of a live peer that seals. In mode ``off`` plain is as good as sealed.

Who says what, and when
=======================

- **Beat.** Each interval (0.8 s, every gap jittered by ±10 %) one HELLO to each link (a network of an interface;
  of several addresses there the primary one speaks) and to each seed,
  the same datagram everywhere, *seq* one more than before. It is full when
  *seq* is a multiple of ten. The first beat comes half an interval to one interval after the start.
- **Broadcast address.** Steady HELLOs go to the broadcast address of the network, full ones and goodbyes to
  255.255.255.255 by the interface of the link: that is heard there by nodes with another prefix too. While a peer of
  this link which needs it was heard within the last 10 minutes every HELLO goes to 255.255.255.255. It needs it if
  nothing came of it to our broadcast address, in 10 minutes or since it solicited by broadcast last: whoever has that
  address speaks to it. So that two nodes do not keep each other at it for ever the first beat on a link and each one
  whose *seq* is a multiple of 30 then go to the address of the network too. An address that is new, and of which
  nothing came to our broadcast address yet, is served so for 10 s and at least one beat, before it is a peer.
- **On a link** is whoever is in a network of ours there, and whoever was heard there by 255.255.255.255 in the last 10
  minutes, which no router passes on. What is for it goes out by that link, never to a gateway. A HELLO from outside our
  network tells nothing of a peer that is heard on that interface by another of its addresses.
- **Burst.** After a start, on a link that is new, and when the record changes: a full HELLO at once,
  100 ms and 300 ms later, on the links concerned, beside the beat and with its *seq*. Where the interval
  is stretched by then (below) the second and the third come as much later, half of that or half as much
  again, as each node draws. After a start and on a new link it solicits; the second and the third only
  where at most 32 peers are listed.
- **Solicit.** Whoever hears one answers with a full HELLO: at once while it lists at most 32 peers,
  with more of them after a random delay of up to 1 ms per peer; and 1 ms per peer lies between two
  answers of one node, so that those of all together stay near 1,000 a second. One who asks is answered
  by unicast, several who ask meanwhile by one broadcast, or by the beat or burst that comes first,
  which then is full.
- **Unknown digest.** The sender is listed at once under what is known of it and sent a steady HELLO
  that solicits, by unicast, at most once an interval, and no sooner than 1 ms per peer after the last
  such request. Its answer is the record.
- **PING.** To one address of one node, by unicast. It counts as answered within 10 s. One is sent

  - *to a suspect* (below): at once, then each 0.2 s, to its addresses one after the other. Faster, down
    to each 0.1 s, where the loss measured asks for more PINGs than that before the ttl is over; once per
    interval when as many as could prove anything went unanswered. All suspects together get 100 a second,
    who waited longest first;
  - *in turn*, to each address of each peer: first 0.3 to 1 s after it was heard first, then each 60 s
    ±10 %, at most 5 a second in all, so that with many peers a turn takes longer. After one that was not
    answered again after 1 s, for 20 times, then each 60 s; after 1, 2, 4, 8, 16 and 32 s if that address
    never answered. Each 5 s to a peer that answers but does not hear us;
  - *back* to who asks us, if we did not ask it for 2 s: when it asks, it may be about to give us up;
  - when a program asks for it, and to the older of two boots that use one id.

  Nobody beyond our links is asked unless it is a seed, or a program wants it.
- **Goodbye.** When a node ends: three times within 60 ms, on every link and to the seeds.
- **Stretching.** A segment carries at most 200 HELLOs a second (``hello.budget``): with *n* nodes the
  interval is at least *n* / 200 s, at most 600 s, and the ttl grows in proportion, to 3600 s at most. It grows
  in steps of an eighth of the configured one, so that one node more or less rarely changes what all announce.
  *n* counts those that proved to be there. Many that start at one moment did not yet: the interval is longer as well
  where more HELLOs were heard, over the last 2 s, than there may be.
  HELLOs are stretched, never left out. A HELLO announces the interval in which the next one comes. Who
  finds that it is longer than the one before draws that gap from between the two, so that those who
  started together come apart and the segment keeps its budget from then on.
- **Sources.** What comes from 0.0.0.0/8, 224.0.0.0/4, 255.255.255.255, the broadcast address of the link, or outside
  loopback mode from 127.0.0.0/8, is dropped, reason ``impossible-source``. On a link all but a bare HELLO has to
  come from port 3400, else it is dropped, reason ``foreign-port``: a node holds that port, so no other program of its
  machine can speak in its name. Beyond our links it may come from another; answers go to port 3400 all the same.
- **Seeds of several addresses.** Where something plain comes from an address beyond our links that no seed has, the
  seeds get a PING to whoever has the address, 8 in a round and one round a second at most. A PONG that repeats such a
  nonce, or that of any PING to a seed, makes the address that it comes from one of that seed. With keys so does a PONG
  that proves a boot, wherever it comes from.
- **Bounds.** What is not sealed is not answered if its source is neither on a link of ours nor a seed; it is asked
  by a PING no longer than what came, 20 a second of all such sources. One source
  gets at most 8 answers a second (``limits.answers``: PONGs, answers to solicits, requests for a
  record), all sources together 1,000; who seals counts by its boot, others by their address, which can be forged.
  A path of a peer that answered a PING there gets 100 PONGs a second that nobody else spends. Plain solicits of one
  address are answered three times at once, then once a second.
- **Unproven addresses.** To an address that returned no nonce of ours within the last hour go no more bytes than came
  from it, and 1000 at first that grow again by 8 a second. An unsealed broadcast counts for the part of it that falls
  to one of the nodes listed. Where a solicit was shorter than our record, a PING goes first, and the record after its
  PONG. Seeds are excepted.

How it is judged
================

- **ttl.** A peer is listed while its last HELLO or PONG is younger than its announced ttl, and down from
  that moment on, on the receiver's own clock: no two clocks are compared. A bare peer has
  ``hello.bare_ttl`` (4 s).
  Where nothing is sealed another ttl than the one in force may be forged: it counts once it was announced for as long
  as that, or for 10 s, and the peer then answered a PING. Until then the longer of the two counts, but one that is new
  no more than 10 s (or 4 of our intervals).
- **Suspicion.** A peer that was not heard for 2.45 of its intervals (two HELLOs, each at most 10 % late,
  and a quarter of one for a busy sender) is *suspect*, and pinged as above. A HELLO or PONG makes it *up*
  again. A bare peer is never suspect: it announces no interval and answers nothing.
- **Unheard.** A peer that answers PINGs, but of which no HELLO came for 2.45 intervals, stays up by its answers: it is
  asked on each path 0.98 intervals after the last answer, then each 0.15 intervals (0.1 s at least) until it answers;
  all together get 200 a second. When 16 HELLOs in a row are missing by the time, they are said not to arrive, and the
  loss is 1; when 4 in a row came, they are said to arrive again, and the loss is measured anew.
- **Loss** is measured for each path from the gaps of *seq*, over the last 64 HELLOs, and not told before
  there were 8.
- **Early down.** A suspect is down before its ttl is over

  - when so many PINGs went unanswered as chance would leave unanswered once in 10^6: with the loss *p* at
    most (Wilson's upper bound at two standard deviations, for 64 HELLOs may deceive), *n* such that
    (1 - (1 - p)^2)^n < 10^-6, that is 7 where none of 64 was lost. Each path by which it was heard in the
    two intervals before it fell silent must be proved to be silent, and only one that was two-way can be.
    The last PING may take 0.2 s, or twice the round trip if that is longer;
  - when its machine refuses a PING (ICMP port unreachable): the process is gone. A refusal of a peer that is
    up is remembered until it is suspect. If it is heard after a refusal, a firewall said so, and what it
    says counts for nothing from then on.
- **Two-way.** A path is two-way if the last PONG says that the peer heard a HELLO of ours within our ttl,
  one-way if it says that it did not, or if as many PINGs in a row went unanswered as chance would leave
  unanswered once in 10^4 (at least 3) while its HELLOs arrive.
- **Self-doubt.** We are *isolated* without a link, unless a routed peer is heard, or when of four peers or more
  at least half fell silent (suspect and not answering, or down in the last 10 minutes) less than one ttl
  before anybody at all was heard last. So a doubt ends one ttl after the silence began if others are heard.
- **Moments.** A datagram counts from the moment at which the kernel received it, however late it is read, and
  a round trip ends at that moment. Silence is judged once all that arrived until then has been read.
- **Resume.** If we do something more than 1 s late, we were asleep (suspend, SIGSTOP); if datagrams waited that
  long, or the kernel threw some away for want of room, it kept the oldest. Then silence proves nothing: once
  all was read, whoever would be suspect or down by then is suspect and asked, for one more grace period (2.45
  intervals, or its ttl if that is shorter), and what was measured on its paths is forgotten. After a sleep we
  solicit too. There is one such period for each silence. Nobody is *up* who was not heard.
- **Damping.** Of one peer at most 10 events are told at once, then one in 5 s; doubts (``suspect`` and back,
  ``updated``) leave 5 of the 10 to comings and goings. What is held back is told as what it comes to as
  soon as that may be told, or not at all if it comes to nothing. The list is true all the time.
- **seq.** Only a HELLO with a *seq* above all before shows that its sender lives, and a PONG: what was heard
  before may come again from a loop or a recording, for ever. The last *seq* once more, on another path, shows
  that this path carries it, and what it says of itself is taken; an older one says nothing. Of a peer that is
  gone both are dropped, reason ``stale``. A bare peer has no *seq*: with it nothing can be told from a repetition.
- **Forged seq.** Who forges one HELLO with a high *seq* must not make all that follow look old. A *seq* 64 or more
  above the last, and the time since then does not explain it, counts only when three in a row come, each above the
  one before, over 1.5 intervals. Lower ones that come like that count if they are above what a leap of 4 or more
  began with, within three of its end, or if a PING was answered meanwhile that came after the second missed HELLO.
- **Goodbye.** The peer has left; a HELLO of that boot whose *seq* is not above the goodbye's is
  dropped, reason ``stale``. The goodbye of a boot that is not listed changes nothing. One that is not sealed may be
  forged: it counts at once, and its sender gets one PING, and others for stale HELLOs, after 1, 2, 4 … 60 s, as
  does a peer that is down. If it answers, it is back, and for the next minute its goodbyes make it suspect only: it
  is asked first.
- **Unproven.** A row without a seal that never answered a PING may be forged. It ends 4 of its intervals after its
  last HELLO, or after its ttl, or after 10 s (4 of our own intervals, if those are longer), whichever comes first,
  and is forgotten after 10 s. Of one *id* there are 16 at most. It never makes us isolated, and counts for the
  interval only once it said HELLO three times over two of our intervals, and while it goes on. Of nodes and of bare
  peers 100 a second are listed like that; any other gets a PING instead (reason ``unproven``), which its HELLO
  waits for: it is listed once it answers. So it is with the first HELLO of a boot that

  - would take over from one that answered a PING and lives, or that is being asked whether it left;
  - is over, as far as is known: it said goodbye or was replaced, and is forgotten. That is believed for its ttl,
    and where nothing was sealed for 10 s (or 4 of our intervals) at most.
- **Rows.** *id* and *boot* together are one peer: whoever speaks under the boot of another is beside it.
- **Answers.** A PONG counts for the boot that was asked, from an address of that peer (a seed may have others), and for
  one that seals only if it is sealed itself, whatever its state.
- **Restart.** A new *boot* with a known *id* takes over the row: that at the same address, else the
  only one. One event, nothing goes down. The older boot is pinged, and forgotten two of its intervals after its
  last HELLO.
- **Clone.** When the older boot answers that PING, or two more HELLOs of it come, two nodes use one id.
  Both are listed and flagged until one of them is gone. So is a peer with our own id. What was counted and
  dated as a restart then begins anew with the newer boot.
- **Clone with its memory.** Two machines of one boot are one row, which alternates. Whoever hears its own boot from a
  foreign address asks there (a PING of that boot to that boot; after 1 s again, then ever more seldom, to 60 s).
  A node of that boot answers a PING whose nonce is not its own. By that PONG, or at once by something sealed whose
  counter it never used, it draws a new boot, begins again with *seq* 0 and a burst that solicits, and the two are
  clones. Of two that ask each other within 1 s the lower address (as text) waits once. Where nothing is sealed a boot
  lasts at least 10 minutes. A HELLO with a *seq* that it sent is ``own-echo``, any other ``own-boot``.
- **Several paths.** A peer heard at several addresses or links is one row. Each path ages alone, and
  one that missed two HELLOs (2.2 intervals) yields to one that did not. Else the path in use stays, unless
  another is clearly better: two-way where it is not, then a tenth less of loss, then half the round trip.
- **Flood.** When more than 4,000 datagrams come within a second (``limits.datagrams``) nobody new is listed until it
  is over, reason ``flood``, but for who seals, and who answers a PING: its HELLO is answered with one where that is
  not longer.
- **Limits.** In a full table room is made by what was replaced, then by what is gone, then for one that answered a
  PING by an unproven row, and for one that seals by a plain one. Else a newcomer is refused (``table-full``). Of those
  beyond our links 1024 plain ones that are no seeds and answered no PING are listed (``limits.routed``).
  One source may bring 50 new peers a second (``limits.newcomers``), all together twenty times that
  (``rate``).

Modules
=======

From the bottom: `parameters`, `record`, `hello` and `probe` are values that encode and decode
themselves; `peer` and `events` are what is told of the table; `liveness` judges silence, in pure functions;
`limited` knows which links need limited broadcasts;
`keyring`, `armour` and `seal` put it all into envelopes where there are keys, `replay` takes each but once, and
`sealing` chooses the ways; `standing` says what an answer to a PING is worth, `pressure` how many HELLOs are heard;
`aliases` are other addresses of seeds; `challenges` and `strangers` ask who is not
known, `doubles` who has our boot;
`row` and `table` are the table, with `namesakes` (restarts and clones), `news` (events, damped) and
`shortcuts` (the short way of a steady HELLO); `limiter` bounds what others can make us do; `prober` says whom
to PING and what silence proves; `node` is the engine, which gives an `outcome` for each call; `query` is
what local programs may ask it.
"""

from typing import Final

DROP_REASONS: Final[dict[str, str]] = {
    "malformed": (
        "Not a HELLO, PING or PONG as specified: some other program uses this UDP port, or a datagram was"
        " damaged. Look at it with tcpdump."
    ),
    "version": "Sent by another version of the protocol: bring both nodes to the same release.",
    "too-long": "Longer than a HELLO can be: some other program uses this UDP port.",
    "other-realm": (
        "Sent by a node of another realm. Intended if several groups share this network; otherwise give "
        "both nodes the same hello.realm."
    ),
    "own-echo": "Our own HELLO came back. Normal on broadcast links; nothing to do.",
    "own-boot": (
        "Not sent by this node, but in the name of its present run: by a machine that was cloned with its memory, "
        "or forged. Its address was asked; if a node answers there this one goes on under a new boot (without keys "
        "once in 10 minutes) and both are listed as clones: give one of them its own id: discoveryd reset-id."
    ),
    "stale": (
        "A HELLO of a peer, or of a run of it, that is gone: not newer than its last one or its goodbye, or of a run "
        "that was replaced, which is asked whether it lives. A few are normal; many mean "
        "that a loop, a relay or somebody who recorded them repeats them."
    ),
    "sealed": (
        "Sealed by a node that has keys, while this one has none: copy its key file here and name it under "
        "security.keys."
    ),
    "unknown-key": (
        "Sealed with a key that is not here. Compare the key id with those of security.keys, and copy the key "
        "file that is missing. Normal while a fleet changes its key, for the new key's first minutes."
    ),
    "bad-seal": (
        "Altered on its way, sealed for another realm or for another node, or forged. Compare hello.realm first; "
        "if they are the same, find out who has the address."
    ),
    "unbound": (
        "Sealed by a node that takes us to be on its link while we do not, or the other way round, and so bound to "
        "nothing that could be checked: give both the same network prefix. Where a router in between shows the sender "
        "under an address of our own link (NAT), name each other under hello.seeds over a route without translation."
    ),
    "replayed": (
        "A sealed datagram that was heard before. A few are normal where a network duplicates; many mean that "
        "somebody repeats what he recorded."
    ),
    "unproven": (
        "From a run of a node that has to answer a PING first, and was asked: it seals and was not known yet, or would "
        "replace one that answered, or is one of too many newcomers. It is listed as soon as it answers. A few for "
        "each start are normal; many mean that somebody forges, or repeats what was recorded."
    ),
    "plain": (
        "Not sealed, while security.mode is require: give its sender the key, or find out who it is. Bare peers "
        "are dropped under this reason too."
    ),
    "downgrade": (
        "Not sealed, in the name (id or boot) of a peer that seals. Normal while security.mode is accept and one node "
        "of the network still speaks plain: then all say everything twice. Also of a node that lost its keys, until "
        "it is not taken for sealed any longer (a ttl). Otherwise forged."
    ),
    "table-full": (
        "A newcomer was refused because the table holds limits.peers live peers, or limits.routed plain ones from "
        "beyond the links that are no seeds: raise that, or find out who forges so many."
    ),
    "rate": (
        "One source sent more than limits.newcomers new peers or limits.source_datagrams datagrams, or asked for "
        "more than limits.answers answers, a second: look at that source, it restarts in a loop or forges."
    ),
    "flood": (
        "More than limits.datagrams came in a second: until that ends only peers that were known before, or that "
        "answer a PING, are heard. Look for who forges HELLOs, or for a loop in the network."
    ),
    "off-link": (
        "A question from an address that is neither on one of our links nor a seed, and not sealed, was not answered: "
        "add it to hello.seeds if it is a peer."
    ),
    "unexpected": (
        "A PONG to no PING of ours, of another boot or from another address than was asked, or one that came after "
        "10 s. Or a PING for another node, or for a run of this one that is over."
    ),
    "impossible-source": (
        "From an address that no machine can have: 0.0.0.0/8, multicast, broadcast, or a loopback address outside "
        "loopback mode. Forged, or sent before its machine had an address."
    ),
    "foreign-port": (
        "A HELLO, PING, PONG or SEALED from another source port than hello.port, on one of our links. No node sends "
        "that: a program forges, or a NAT on the way changes ports, which is not supported."
    ),
    "excluded": "Came in by an interface that hello.interfaces excludes.",
    "kernel": (
        "The receive buffer of the socket overflowed before the daemon could read it: too many datagrams "
        "at once, or too little processor time."
    ),
    "send-failed": "The kernel would not send: see the link's last error in the status.",
}
"""Why datagrams are dropped, reason by reason, for people: what it means and what to do.

A reason in capitals, such as ``ECONNREFUSED``, is an error that the kernel reported on receiving.
"""
