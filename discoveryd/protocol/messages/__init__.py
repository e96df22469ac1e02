r"""Messages between peers, byte by byte: the second part of the specification (the first is `discoveryd.protocol`).

**In one paragraph.** A message goes to all that listen on a link, once, with the condition of those it is for; each
receiver acknowledges it by unicast; then it goes by unicast to each that did not, again and again, until it did or the
time is over. A question is a message with an answer in its acknowledgement. A receiver hands out each message once:
it remembers the last numbers of each sender. Everything that is lost is asked for again by the sender alone.

============  ==============================================================================
field         form
============  ==============================================================================
*number*      decimal, 1 to 4294967295: of the message, one more with each of a boot
*part*        decimal, 0 to 127: which part this is
*parts*       decimal, 0 to 128: how many there are
*flags*       0 to 16 of ``A-Z a-z``: what the sender wants
*have*        0 to 32 of ``0-9 a-f``: bitmap of the parts of the answer that the sender has
*name*        0 to 32 of ``a-z 0-9 -``: tells the receiver what to do; empty in further parts
*filter*      0 to 200 of ``A-Z a-z 0-9 _ -``: the nodes that are meant; empty for each one
*payload*     0 to 800 of ``A-Z a-z 0-9 + /``: base 64 without ``=``, at most 600 bytes
*status*      1 of ``a-z``: what became of the message
*bitmap*      0 to 32 of ``0-9 a-f``: of the parts of the message that are there
============  ==============================================================================

MSG and ACK
===========

::

    MSG|2|<realm>|<id>|<boot>|<number>|<part>|<parts>|<flags>|<have>|<name>|<filter>|<payload>|
    ACK|2|<realm>|<boot>|<to>|<number>|<status>|<bitmap>|<part>|<parts>|<payload>|

*id* and *boot* of a MSG are those of its sender; *boot* of an ACK is that of the receiver which acknowledges, and *to*
names the sender of the MSG as *to* of a PING names a node. A bitmap is one hexadecimal number, in which bit *n* stands
for part *n*; empty is 0. A plain MSG that would be shorter than its ACK is filled up by one more field of zeros. A
message to the nodes whose name begins with ``web`` in rack b2, which will be acknowledged when its handler has ended;
its acknowledgements before and after that; a question to all, and its answer::

    MSG|2|default|web1|5f0c8b1e2d3a4f60|7|0|1|ha||deploy|eyJuIjoid2ViKiIsInQiOnsicmFjayI6ImIyIn19|djI|
    ACK|2|default|a3d1e00942bb7c15|27d7dd7de1118645|7|r|1|0|0||
    ACK|2|default|a3d1e00942bb7c15|27d7dd7de1118645|7|h|1|0|0||
    MSG|2|default|web1|5f0c8b1e2d3a4f60|8|0|1|qa||upper||cmVhZHk/|0000|
    ACK|2|default|a3d1e00942bb7c15|27d7dd7de1118645|8|h|1|0|1|UkVBRFk/|

- **Flags.** ``q``: a question, an answer is wanted. ``h``: the end of its handler is waited for. ``a``: acknowledge now
  what is there of this message; a whole one is acknowledged anyway.
- **Status.** ``r`` received; ``h`` handled, or answered; refused: ``f`` its handler failed, ``d`` denied, ``u`` nobody
  takes a message of this name, ``b`` busy, ``l`` too long, ``m`` not meant (only by unicast).
- **Filter.** A JSON object in base 64 (URL-safe, without ``=``): ``n`` a glob for the name, ``t`` tags, ``s`` the name
  of a service. Each receiver applies it to its own record; by conditions it does not know nobody is meant.
- **Parts.** A payload of up to 65,536 bytes is cut into parts of 600 bytes, the first so much shorter as the filter
  has more than 40 characters. In plain there is one part only: any further ones are dropped, reason ``too-long``.

Sealed
======

::

    M|<number>|<part>|<parts>|<flags>|<have>|<name>|<filter>|<payload>
    K|<to>|<number>|<status>|<bitmap>|<part>|<parts>|<payload>

Inside an envelope the payload is not base 64 but the bytes themselves, and a bar follows it. A sealed ACK without a
payload has at most 203 bytes, a MSG 203 or more. A MSG with 600 bytes fits into 1024, plain and sealed, whatever the
ids.

What is sent, and when
======================

- **Receivers** of a message are the peers that the sender lists when it begins: nodes that match, that are reached,
  and that hear the sender as far as is known. A peer that leaves, falls silent or begins anew ends as down; one that
  comes later is no receiver. Named peers get it by unicast, without a filter; so does each peer where the filter and
  the payload do not fit into one datagram. Else each link with a receiver gets it as a full HELLO goes there, once in
  each variant, and routed peers by unicast.
- **Repetition.** To each receiver that did not acknowledge it goes by unicast 60 ms after the time over which the
  acknowledgements are spread, then after 120, 240, 480 ms and each second. Where the loss of its path (or the share
  of acknowledgements that are missing) lets that be too few, so many go out within 1.4 s that one in 10^4 messages
  leaves out anybody that is there. A receiver of which nothing came gets part 0, one that has some parts gets the
  others; a receiver that has all, but whose handler goes on, gets part 0 after 120, 240, 480 ms and each second; one
  whose answer has parts missing gets part 0 with the bitmap of those that came.
- **Acknowledgement.** By unicast, to where the MSG came from: at once, or if it went to all at a random moment within
  1 ms for each peer listed, 200 ms at most. It says what is true at that moment. The answer comes with status ``h`` in
  parts of 600 bytes; an empty one is one empty part, and without a part there is none (any more).
- **Order.** A message begins when those before it were received by the receivers they share, or ended there.
- **Once.** A number is handed out once. Of a sender the last 128 are remembered, and a sealed one that is 128 or more
  below the highest is dropped, reason ``stale`` (not a plain one, for the highest may be forged).
- **Proof.** Only a listed, live peer that answered a PING is heard, and only from an address of it, else the reason is
  ``unproven``; one that seals only if it is sealed (``downgrade``). In plain an ACK is never longer than its MSG, so an
  answer has to be as short (else ``l``), and a MSG that is shorter than its ACK is dropped, reason ``malformed``.
- **Bounds.** A node sends at most 500 datagrams of both kinds a second (``messages.budget``), has 64 messages under
  way, and 16 whose handlers run. It takes 20 a second of one sender, and 40 at once (``messages.rate``), any further
  ones are ``b``. Of 8 messages of one sender and 64 of all there may be parts only, for 10 s after the last one came;
  a part of one more is dropped, reason ``message-crowd``. Answers are kept for 30 s, 4 MiB of all.

Modules
=======

``values`` are what goes in and out, ``handed`` what came from another site; ``exchange`` is the room of the engine.
``outgoing`` has the messages of this node under way, each of them is ``pending`` at its receivers; ``receipts`` has
those of others. ``pacer`` holds datagrams back until it is their time.
"""
