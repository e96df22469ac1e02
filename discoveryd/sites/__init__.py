"""Sites: what a node knows of the peers of other sites, over NATS, as the gateways there vouch for it.

The exchange, version 1
=======================

**Payload.** ``SITE|1|key|id|run|counter|`` and a body: id of the key, or ``-`` for plain; the node that sends; 64 bits
drawn when its engine was made; a number that only grows, in hexadecimal. With a key the body is ChaCha20-Poly1305 under
a key of that run alone (keyed BLAKE2b of realm, id and run, with a ``person`` that no datagram has); the counter is the
nonce, and header and subject are authenticated. The subject names the site (`discoveryd.sites.subjects`).

**Body.** A JSON object on one line, and what belongs to it (`discoveryd.sites.wire`):

- ``beat``: each gateway, each 2 s, ±10 %, and more seldom with more gateways than 40, so that nobody hears more than 20
  a second. It has *name*, *boot*, *hello* (seq of the last HELLO on its own network), *set*, *count*, *digest*,
  *nonce*, *ms* (to its next beat), *asks* (for answers at once), *echo* (site -> the last nonces heard from it).
- ``delta``: *set*, and the rows that lead to it from the number before.
- ``full``: *set*, *part*, *of*, *count*, *digest*, *echo*, and rows: all of the set, and the last peers that are gone.
- ``want``: *run* of the gateway, *nonce*, *echo*: asks it for all of its set, which it publishes once for all that ask.
- ``ask``, ``answer``: *run* of the receiver, *number*, *echo*, and up to 64 KiB that nobody but the two reads.

**Set.** The live peers of a site as one gateway hears them first-hand, itself among them; ``suspect`` counts as live.
*digest* is the sum, modulo 2^64, of the first 8 bytes of BLAKE2b of each key and row. It is the same for gateways that
hear the same, so the set of one gateway often does for another.

**Gateways.** The nodes whose record has the tag ``site-gateway`` with the name of the site, by rank
(`discoveryd.sites.roles`). A gateway speaks from 3 s after its start on, once its table has been calm for a second;
never while it is isolated.

**Proof.** A run is heard from the first message on that echoes a young nonce of our site, each of its counters once;
what it sealed before is void. The word of a gateway is proved for the moment in which a nonce of ours was made, when it
echoes that nonce and *set* and *digest* are those of our copy. It holds for 10 s, at least 2.5 times both intervals.
No clock is compared, and it does not matter when anything arrived.

**Truth.** `discoveryd.sites.remote_site` brings together what the gateways of a site say.

Modules
=======

``engine`` is the face of it all. ``speaking`` is what a gateway says, of ``local_set``, by the ``survey`` of its table
and its ``roles``; ``following`` is what is heard, into ``remote_site``, a ``view`` for each gateway, ``gone`` and
``changes``; ``listing`` makes JSON of it. ``channel`` seals and opens (`discoveryd.protocol.sealed.payload`),
``nonces`` tells fresh from stale, ``wire``, ``row`` and ``subjects`` are the bytes, ``drops`` the words for what is
refused, ``questions`` those to another site, ``courier`` messages in them (``far_messages``); ``settings`` and
``values`` go in and out. ``driver``, ``link``, ``nats``, ``access`` and ``desk`` connect the engine with servers,
network and daemon.
"""
