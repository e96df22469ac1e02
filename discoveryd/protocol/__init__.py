r"""The wire protocol, byte by byte. The modules of this package are the engine that speaks it.

**In one paragraph.** Every node broadcasts a HELLO of about 80 bytes each 0.8 s: its id, how long this HELLO holds,
and a digest of its record. A node that hears it lists the sender until that time is over. The record, in which a node
describes itself, travels in every tenth HELLO and to each node that asks for it. PING and PONG tell whether one node
is there, how far away it is, and whether it hears us: each peer is asked in turn, and a peer of which two HELLOs are
missing several times a second. A goodbye ends the listing at once. How peers send each other messages (MSG and ACK) is
specified in `discoveryd.protocol.messages`, how a death is told (WILL) in `discoveryd.protocol.wills`, how a node finds
out why another is not heard (WHY and SAY) in `discoveryd.protocol.inquiries`, and how peers beyond the links find each
other (MEET and INTRO) in `discoveryd.protocol.introductions`.

Every datagram
==============

- UDP, source *and* destination port 3400, also when sent by unicast. What follows is said of IPv4; what is different
  by IPv6, such as multicast in place of broadcast, is specified in `discoveryd.protocol.ipv6`.
- Printable ASCII, at most 1024 bytes, fields separated by ``|``. The first is the kind, the second the version, ``2``.
- **Only a quiet HELLO ends in a digit**, plain or sealed: one that says nothing new. Each other datagram of a node
  ends in ``|``, or sealed in a letter. So a packet filter recognises it by its packet type and its last byte alone.
- Forward compatibility: flags of unknown letters, further fields before the last ``|`` and unknown keys of the record
  are ignored. A datagram of another version is dropped, reason ``version`` (0.1.0 spoke version 1).
- A node speaks for itself only: nothing is relayed. A node named by others is asked itself, and nothing more.
- *Any bytes give a message, a record, what an envelope holds, or a* `WireError`, *nothing else, in linear time.*

============  ==============================================================================
field         form
============  ==============================================================================
*realm*       1 to 16 of ``A-Z a-z 0-9 . _ -``; nodes of another realm are not listed
*id*          1 to 32 of ``A-Z a-z 0-9 . _ -``: the node, for good
*boot*        16 of ``0-9 a-f``: one run of the node, random
*interval*    decimal milliseconds, 1 to 600000: until the next HELLO, more or less
*ttl*         decimal milliseconds, *interval* to 3600000: how long this HELLO holds
*lasting*     0 to 16 of ``A-Z a-z``, for more than this HELLO: ``d`` hears nobody, ``e`` not even itself; ``t`` (IPv6)
*digest*      16 of ``0-9 a-f``: BLAKE2b of the record's bytes, 8 bytes long
*seq*         decimal, 0 to 4294967295: one more with each beat
*once*        flags of this HELLO alone: any of ``s`` (solicit), ``g`` (goodbye) and its reason, mostly empty
*record*      JSON, at most 700 bytes, without ``|``
*nonce*       16 of ``0-9 a-f``, random, repeated by the answer
*to*          16 of ``0-9 a-f``: the node that is meant, or sixteen zeros for any node at the address
*heard*       decimal milliseconds, 0 to 9999999, or ``-`` for never
*held*        decimal microseconds, 0 to 9999999
============  ==============================================================================

HELLO
=====

::

    HELLO|2|<realm>|<id>|<boot>|<interval>|<ttl>|<lasting>|<digest>|<seq>
    HELLO|2|<realm>|<id>|<boot>|<interval>|<ttl>|<lasting>|<digest>|<seq>|<once>|
    HELLO|2|<realm>|<id>|<boot>|<interval>|<ttl>|<lasting>|<digest>|<seq>|<once>|<record>|[0]
    HELLO|

The **steady** HELLO has no record and no *once*: at most 118 bytes. The **full** one has it: at most 823 bytes, with
``0`` at its end where it is a beat in its turn, has no *once*, and nobody waits for it. Both of these are quiet. The
**bare** one is all that the simplest sender needs to say; its sender is listed as a bare peer, known by its address
alone, and line ends or NULs after it are ignored. A steady, a full and a bare one, a solicit (the first HELLO after a
start, here of a node whose record is the shortest), and a goodbye::

    HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|41
    HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|50||{"name":"web1","tags":{"rack":"b2"}}|0
    HELLO|
    HELLO|2|default|web2|a3d1e00942bb7c15|800|4000||ba158d96e1f06bbb|0|s|{"name":"web2"}|
    HELLO|2|default|web1|5f0c8b1e2d3a4f60|800|4000||40438a3c69897b62|52|g|

The record
----------

A JSON object, ASCII, every other character and ``|`` escaped (``|`` is ``\u007c``):

- ``name``: text, 1 to 64 characters. The only key that must be there.
- ``tags``: object of texts; keys of 1 to 64 characters, values of up to 255.
- ``services``: array of objects with ``name`` (1 to 64 characters), ``port`` (0 to 65535), and where they differ from
  ``tcp`` and ``{}``, ``proto`` (1 to 16 characters) and ``tags``.

All characters must be printable (no control characters, no marks that turn the direction of writing): they end on a
terminal. The digest is that of the bytes as sent, whatever they mean.

PING and PONG
=============

::

    PING|2|<realm>|<id>|<boot>|<nonce>|<to>|
    PONG|2|<realm>|<boot>|<nonce>|<heard>|<held>|

*id* and *boot* are those of the sender; in a PONG *boot* is that of the node which answers. *to* names the node that
is meant, and no other node answers: the first 8 bytes, in hexadecimal, of the unkeyed BLAKE2b (of 8 bytes) over the
*id*, a bar and the *boot* (here ``db1|a3d1e00942bb7c15``); zeros where only the address is known; the boot alone where
the PING is sealed. *heard* says how long ago the node last heard a HELLO of the pinger, so that the pinger knows of
both directions of the path. *held* says how long the PING lay there before the PONG was written; where that is less
than what the pinger measured, the round trip is the rest. A PONG is always shorter than its PING. A PING, its answer,
and the answer of a node that never heard us::

    PING|2|default|web1|5f0c8b1e2d3a4f60|0b6e3f9a77c1d204|5858a94b2814a77c|
    PONG|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|312|85|
    PONG|2|default|a3d1e00942bb7c15|0b6e3f9a77c1d204|-|85|

Sealed
======

Where there are keys, a datagram travels in an envelope::

    SEALED|2|<key id>|<node id>|<boot>|<counter>|<body>|<scope>[0]

- *key id*: 8 of ``0-9 a-f``, a hash of the key. *node id* and *boot*: those of the sender.
- *counter*: 1 to 16 of ``0-9 a-f`` without leading zeros, below 2^63; one more with each sealed datagram of the boot.
  Those of scope ``w`` count apart, from 2^63 on: one more with each will that was written, whether or not it was sent.
- *body*: ciphertext and tag in base 64; where the datagram would pass 1024 bytes, ``:`` and base 85 (RFC 1924, ``/``
  for ``|``).
- *scope*: the receivers it is for, and what it is *bound* to, which is authenticated but not sent:

  ===== ============================ =================================================================================
  scope for                          bound to
  ===== ============================ =================================================================================
  ``b`` all on a link                the sender's address on that link, 4 or 16 bytes
  ``u`` one node on a link           that address, and the boot of that node
  ``s`` beyond the sender's links    nothing: a router may translate the address
  ``w`` a will, wherever it goes     that address; beyond the sender's links nothing
  ===== ============================ =================================================================================

- ``0`` follows the scope exactly if a quiet HELLO is inside.

The cipher is ChaCha20-Poly1305. Key: BLAKE2b of 32 bytes, keyed with the shared key, person ``discoveryd-boot``, of
``<realm>|<node id>|<boot>``. Nonce: the counter, 96 bits, big-endian. Associated data: all bytes before the body,
those after it, ``|``, and what it is bound to. Inside is the plain datagram without what the receiver knows::

    H|<interval>|<ttl>|<lasting>|<digest>|<seq>[|<once>[|<record>[|0]]]    digest empty where it is that of the record
    P|<nonce>|<to>                          to empty where it is the boot bound to, or zeros in another scope than u
    A|<nonce>|<heard>|<held>

and NULs, so that no answer is longer than its question, whatever the ids: a sealed PONG has at most 155 bytes, a PING
155 to 158, a HELLO 158 or more. A PONG of 10.0.0.1 to the boot ``a3d1e00942bb7c15`` under the key of the bytes 0 to
31, and a steady HELLO to its link (one line, 161 bytes)::

    SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|2|0FJ8HmUd8CL7BgMr5cKyZFvjWsqWyT7gpaURanPxCJLLWG1bACwgAOw=|u
    SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|U8U/YrC1ziyx3TyZNLUaNMXJPk5fO62VtfAXcsV7H6d8h1wXtkutd9ocPN
        XNMDKXnA0BEzLqNY6lSHasfZwZXnDwJxZC56u96C3vQJSTwtGbFp9m8sqI|b0

`discoveryd.protocol.sealed.envelope` says why this is safe. How it is used:

- **Variants.** A *variant* is the id of a key, or plain. Each HELLO goes out in the variant that the sender is
  configured to use (``security.mode`` and ``send_with``), and once more, with a counter of its own, in each other
  variant that a live peer on that link uses, as far as the sender has the key; not plain where the mode is
  ``require``. With *v* variants the interval is stretched as for *v* times as many nodes. A seed from which nothing is
  heard gets the other variants in turn, one with each HELLO. A datagram for one node goes in the variant in which that
  node was heard last, scope ``u``. A goodbye goes as HELLOs do.
- **One peer, several variants.** A peer counts as heard in the variant that the receiver prefers: in mode ``off``
  plain, else the key that the receiver sends with, then its other keys, plain last. Another variant replaces the
  present one when it is preferred, or when nothing came in the present one for 3 beats.
- **Address.** A datagram from a link of ours is opened with the address it came from, so it counts only from the
  address that its sender has (``bad-seal``): a recording is worth nothing from another. A node takes another to be on
  its link if its prefix holds that address, or if it heard it there by limited broadcast (see *On a link*), in both
  directions, a seed too. Where the sender sees that otherwise (``b`` or ``u`` from beyond our links, ``s`` from a link
  of ours) the datagram is dropped, reason ``unbound``. The scope does not follow from the packet type: a datagram for
  all may come by unicast.
- **Once.** A counter is taken once, within a window of 1,024 for scope ``b`` and another for the other scopes of each
  boot (``replayed``).
- **Proof.** An unknown boot counts for nothing (``unproven``). Its HELLO is answered with a PING whose nonce cannot be
  foreseen: for boots never asked before at most 64 a second to one address and 1,000 to all, for others 32 and 1,000;
  to a boot that does not answer each 0.3 s, after 8 times after 0.6, 1.2 … 60 s. Its PING is answered once, if it is
  for us alone (not of scope ``b``, and *to* is our boot). Its PONG, not of scope ``b``, with the nonce, proves that it
  lives: it counts from then on, what it sealed before is void, and it is sent a steady HELLO that solicits (and a full
  one if its HELLO did).
- **News.** Only a HELLO with a *seq* above all before, or a PONG, shows that a sealed peer lives. When neither came
  for its ttl, or the peer is down or has left, it has to prove anew that it lives. So a recording made on another
  link, or while we did not hear the peer, is worth nothing.
- **Plain beside sealed.** In mode ``require`` a plain datagram is dropped (``plain``), a bare HELLO too. In mode
  ``accept`` a plain datagram with the boot or the id of a live peer that seals is dropped (``downgrade``), and a plain
  boot does not take over the row of such a peer. In mode ``off`` plain is as good as sealed.

What a node sends, and when
===========================

- **Beat.** Each interval (0.8 s, every gap jittered by ±10 %) one HELLO goes to each link (a network of an interface;
  of several addresses there the primary one sends), to each seed, and to each routed peer that answered a PING
  (`discoveryd.protocol.routed`), the same datagram everywhere, *seq* one more than before. It is full when *seq* is a
  multiple of ten. The first comes half an interval to one interval after the start.
- **Broadcast address.** Steady HELLOs go to the broadcast address of the network, full ones and goodbyes to
  255.255.255.255 by the interface of the link, where nodes with another prefix hear them too; every HELLO while such a
  node is there, as `discoveryd.protocol.limited_broadcast` specifies.
- **On a link** is each address in a network of ours there, and each address heard there by 255.255.255.255 in the last
  10 minutes, which no router forwards. What is for it goes out by that link, never to a gateway. A HELLO from outside
  our network tells nothing of a peer that is heard on that interface from another of its addresses.
- **Burst.** After a start, on a new link, and when the record changes: a full HELLO at once, 100 ms and 300 ms later,
  on the links concerned, beside the beat and with its *seq*. Where the interval is stretched by then (below), the
  second and the third come as much later, half of that or half as much again, as each node draws. After a start and on
  a new link the burst solicits; its second and third HELLO only where at most 32 peers are listed.
- **Solicit.** A node that hears a solicit answers with a full HELLO: at once while it lists at most 32 peers, with
  more of them after a random delay of up to 1 ms per peer; and 1 ms per peer lies between two answers of one node, so
  that those of all nodes together stay near 1,000 a second. One solicit is answered by unicast; several that come
  meanwhile by one broadcast, or by the beat or burst that comes first, which then is full.
- **Unknown digest.** The sender is listed at once under what is known of it, and sent a steady HELLO that solicits, by
  unicast, at most once an interval, and no sooner than 1 ms per peer after the last such request. The answer is the
  record.
- **PING.** To one address of one node, by unicast: `discoveryd.protocol.prober` says when. It counts as answered
  within 10 s.
- **Goodbye.** When a node ends: three times within 60 ms, on every link and to the seeds. Beside the ``g`` stands why,
  where the node knows it for certain: ``r`` it restarts, ``u`` another version takes its place, ``b`` the machine
  reboots, ``p`` it is switched off. Without one of these, or with one of a later release, the node just stops.
- **Stretching.** A segment carries at most 200 HELLOs a second (``hello.budget``): with *n* nodes the interval is at
  least *n* / 200 s, at most 600 s, and the ttl grows in proportion, to 3600 s at most. The interval grows in steps of
  an eighth of the configured one, so that one node more or less rarely changes what all announce. *n* counts the nodes
  that proved to be there. Many that start at one moment did not yet: the interval is longer as well where more HELLOs
  were heard, over the last 2 s, than there may be. HELLOs are stretched, never left out. A HELLO announces the
  interval in which the next one comes. A node whose interval becomes longer draws that gap from between the old and
  the new one, so that nodes which started together come apart and the segment keeps its budget from then on.
- **Sources.** A datagram from 0.0.0.0/8, 224.0.0.0/4, 255.255.255.255, the broadcast address of the link, or outside
  loopback mode from 127.0.0.0/8, is dropped, reason ``impossible-source``. On a link each datagram but a bare HELLO
  has to come from port 3400, else it is dropped, reason ``foreign-port``: a node holds that port, so no other program
  of its machine can speak in its name. Beyond our links it may come from another port; answers go to port 3400.
- **Bounds.** A plain datagram is not answered if its source is neither on a link of ours nor a seed, nor of a network
  under ``hello.introduce``; the source gets a PING no longer than what came, 20 a second to all such sources. One
  source gets at most 8 answers a second (``limits.answers``: PONGs, answers to solicits, requests for a record), all
  sources together 1,000; a source that seals counts by its boot, others by their address, which can be forged. A path
  of a peer that answered a PING there gets 100 PONGs a second that no other source spends. Plain solicits of one
  address are answered three times at once, then once a second; one too many of a boot that never answered gets a PING.
  The first PONG of a boot begins that count anew.
- **Unproven addresses.** To an address that returned no nonce of ours within the last hour go no more bytes than came
  from it, and 1500 at first that grow again by 8 a second. An unsealed broadcast counts for the part of it that falls
  to one of the nodes listed. Where a solicit was shorter than our record, a PING goes first, and the record after its
  PONG. Seeds are excepted.

How a peer is judged
====================

- **ttl.** A peer is listed while its last HELLO or PONG is younger than its announced ttl, and down from that moment
  on, on the receiver's own clock: no two clocks are compared. A bare peer has ``hello.bare_ttl`` (4 s). Where nothing
  is sealed another ttl than the one in force may be forged: it counts once it was announced for as long as that, or
  for 10 s, and the peer then answered a PING. Until then the longer of the two counts, but a new one no more than 10 s
  (or 4 of our intervals).
- **Suspicion.** A peer that was not heard for 2.45 of its intervals (two HELLOs, each at most 10 % late, and a quarter
  of one for a busy sender), or up to 1 s before its end, is *suspect*, and pinged as above. A HELLO or PONG makes it
  *up* again. A bare peer is never suspect: it announces no interval and answers nothing.
- **Unheard.** A peer that answers PINGs, but of which no HELLO came for 2.45 intervals, stays up by its answers: it
  gets a PING on each path 0.98 intervals after the last answer, then each 0.15 intervals (0.1 s at least) until it
  answers; all such peers together get 200 a second. When 16 HELLOs in a row are missing by the time, they count as not
  arriving, and the loss is 1; when 4 in a row came, they count as arriving again, and the loss is measured anew.
- **Loss** is measured for each path from the gaps of *seq*, over the last 64 HELLOs, and not told before there were 8.
- **Early down.** A suspect is down before its ttl is over

  - when so many PINGs went unanswered as chance would leave unanswered once in 10^6: with the loss *p* at most
    (Wilson's upper bound at two standard deviations, for 64 HELLOs may deceive), *n* such that (1 - (1 - p)^2)^n <
    10^-6, that is 7 where none of 64 was lost. Each path by which the peer was heard in the two intervals before it
    fell silent must be proved to be silent, and only a two-way path can be. The last PING may take 0.2 s, or twice the
    round trip if that is longer;
  - when its machine refuses a PING (ICMP port unreachable): the process is gone. A refusal of a peer that is up is
    remembered until it is suspect. If the peer is heard after a refusal, a firewall sent it, and refusals of that peer
    count for nothing from then on.
- **Two-way.** A path is two-way if the last PONG says that the peer heard a HELLO of ours within our ttl, one-way if
  it says that it did not, though the peer had time to hear 8 of ours since it came, or if as many PINGs in a row went
  unanswered as chance would leave unanswered once in 10^4 (at least 3) while its HELLOs arrive: where the loss is not
  measured yet, 15, unless more than 30 % are lost on that link.
- **Self-doubt.** We are *isolated* without a link, unless a routed peer is heard, or when of four peers or more at
  least half fell silent (suspect and not answering, or down in the last 10 minutes) less than one ttl before any peer
  at all was heard last. So a doubt ends one ttl after the silence began if others are heard.
- **Moments.** A datagram counts from the moment at which the kernel received it, however late it is read, and a round
  trip ends at that moment. Silence is judged once all that arrived until then has been read.
- **Resume.** If we do something more than 1 s late, we were asleep (suspend, SIGSTOP); if datagrams waited that long,
  or the kernel threw some away for want of room, it kept the oldest. Then silence proves nothing: once all was read, a
  peer that would be suspect or down by then is suspect and pinged, for one more grace period (2.45 intervals, or its
  ttl if that is shorter), and what was measured on its paths is forgotten. After a sleep we solicit too. There is one
  such period for each silence. No peer is *up* that was not heard.
- **Damping.** Of one peer at most 10 events are told at once, then one in 5 s; doubts (``suspect`` and back,
  ``updated``) leave 5 of the 10 to comings and goings. Suppressed events are told as their net result as soon as that
  may be told, or not at all if they come to nothing. The list is true all the time.
- **seq.** Only a HELLO with a *seq* above all before shows that its sender lives, and a PONG: an older datagram may
  come again from a loop or a recording, for ever. The last *seq* once more, on another path, shows that this path
  carries it, and what it says of itself is taken; an older one says nothing. Of a peer that is gone both are dropped,
  reason ``stale``. A bare peer has no *seq*: its HELLO cannot be told from a repetition.
- **Forged seq.** One forged HELLO with a high *seq* must not make all that follow look old. A *seq* 64 or more above
  the last, where the time since then does not explain it, counts only when three in a row come, each above the one
  before, over 1.5 intervals. Lower ones that come like that count if they are above what a leap of 4 or more began
  with, within three of its end, or if a PING was answered meanwhile that came after the second missed HELLO.
- **Goodbye.** The peer has left; a HELLO of that boot whose *seq* is not above the goodbye's is dropped, reason
  ``stale``. The goodbye of a boot that is not listed changes nothing. A goodbye that is not sealed may be forged: it
  counts at once, and its sender gets a PING, and others for stale HELLOs, after 1, 2, 4 … 60 s, as does a peer that is
  down. If it answers, it is back, and for the next minute its goodbyes make it suspect only: it gets a PING first.
- **Unproven.** A row without a seal that never answered a PING may be forged. It ends 4 of its intervals after its
  last HELLO, or after its ttl, or after 10 s (4 of our own intervals, if those are longer), whichever comes first, and
  is forgotten after 10 s. Of one *id* there are 16 at most. It never makes us isolated, and counts for the interval
  only once it sent three HELLOs over two of our intervals, and while it goes on. Of nodes and of bare peers 100 a
  second are listed like that; any other gets a PING instead (reason ``unproven``), for which its HELLO waits: it is
  listed once it answers. So it is with the first HELLO of a boot that

  - would take over from a boot that answered a PING and lives, or that is being asked whether it left;
  - is over, as far as is known: it sent a goodbye or was replaced, and is forgotten. That is believed for its ttl, and
    where nothing was sealed for 10 s (or 4 of our intervals) at most.
- **Rows.** *id* and *boot* together are one peer: another id with the boot of a peer has a row beside it.
- **Answers.** A PONG counts for the boot that was asked, from an address of that peer (a seed may have others), and
  for a peer that seals only if it is sealed itself, whatever the peer's state.
- **Restart.** A new *boot* with a known *id* takes over the row: that at the same address, else the only one. One
  event, nothing goes down. The older boot is pinged, and forgotten two of its intervals after its last HELLO.
- **Clone.** When the older boot answers that PING, or two more HELLOs of it come, two nodes use one id. Both are
  listed and flagged until one of them is gone. So is a peer with our own id. What was counted and dated as a restart
  then begins anew with the newer boot.
- **Clone with its memory.** Two machines of one boot are one row, which alternates. A node that hears its own boot
  from a foreign address pings there (a PING of that boot to that boot; after 1 s again, then ever more seldom, to 60
  s). A node of that boot answers a PING whose nonce is not its own. By that PONG, or at once by an envelope whose
  counter it never used, it draws a new boot, begins again with *seq* 0 and a burst that solicits, and the two are
  clones. Of two that ask each other within 1 s the lower address (as text) waits once. Where nothing is sealed a boot
  lasts at least 10 minutes. A HELLO with a *seq* that the node sent is ``own-echo``, any other ``own-boot``.
- **Several paths.** A peer heard at several addresses or links is one row. Each path ages alone, and a path that
  missed two HELLOs (2.2 intervals) yields to one that did not. Else the path in use stays, unless another is clearly
  better: two-way where it is not, then a tenth less of loss, then half the round trip.
- **Flood.** When more than 4,000 datagrams come within a second (``limits.datagrams``) no new peer is listed until it
  is over, reason ``flood``, but for a sender that seals, or that answers a PING: its HELLO is answered with one where
  that is not longer.
- **Limits.** In a full table room is made by a row that was replaced, then by one that is gone, then for a peer that
  answered a PING by an unproven row, and for a peer that seals by a plain one. Else a newcomer is refused
  (``table-full``). Of those beyond our links 1024 plain ones that are no seeds and answered no PING are listed
  (``limits.routed``). One source may bring 50 new peers a second (``limits.newcomers``), all together twenty times
  that (``rate``).

Modules
=======

- ``node`` is the engine and gives an ``outcome`` for each call; ``parameters``, ``addresses``, ``link`` and
  ``histogram`` are values.
- ``wire``: ``wire.kinds`` has the table of the kinds of datagrams, ``wire.messages``, ``wire.talk``, ``wire.why`` and
  ``wire.meet`` their values, ``wire.fields`` their fields, ``wire.record`` the record of a node.
- ``sealed``: ``sealed.keyring`` holds the keys and the mode, ``sealed.envelope`` seals and opens, ``sealed.channel`` is
  the layer in front of the engine, and takes each counter once, ``sealed.payload`` seals what a broker carries.
- ``table``: ``table.table`` is the table, ``table.rows`` keeps its rows, and knows restarts and clones, ``table.row``
  is one peer, ``table.path`` an address of it, ``table.prepared`` what its readers get, ``table.states`` its life,
  ``table.liveness`` and ``table.ageing`` what silence does, ``table.standing`` what a row has proved and which *seq*
  counts, ``table.shared_addresses`` those of several peers; ``table.event_log`` tells events, damped, of a
  ``table.peer``, ``table.changes`` what they changed, ``table.journal`` notes each change of a peer that proved to be
  there, ``table.grace`` says which absence waits.
- Sent: ``beacon`` says when a HELLO is due, ``answers`` when a solicit is answered, ``ipv6`` which beats go by IPv6,
  ``prober`` what is pinged, ``turns`` in which order, ``wills`` what after a will; ``outbox`` writes the datagrams and
  bounds what unproven addresses get, ``limited_broadcast`` knows where 255.255.255.255 is needed, ``seeds`` which
  addresses the seeds have, ``hosts`` how these are written, ``routed`` which nodes are greeted beyond the links;
  ``introductions`` finds others there, ``candidates`` asks them.
- Received: a datagram passes ``reception`` and its ``rate_limits``; a PING or PONG goes to ``probes``, WHY and SAY to
  ``inquiries``; ``challenges`` asks unknown boots, ``own_boot`` finds ours elsewhere; ``flood`` and ``isolation`` judge
  the whole, ``drops`` has reasons and counts. What others can make us keep and do is ``bounded``, ``blake`` is a hash.
- ``messages`` between peers: ``messages.exchange``, ``messages.handed``, ``messages.outgoing``, ``messages.pending``,
  ``messages.receipts``, ``messages.pacer``, ``messages.values``, as its docstring says.
"""

from discoveryd.protocol.drops import DROP_REASONS as DROP_REASONS
