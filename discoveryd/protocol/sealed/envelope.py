r"""Sealing: every message in an envelope that only who has the key can write or read.

**The wire.** ASCII, at most 1024 bytes, eight fields::

    SEALED|2|<key id>|<node id>|<boot>|<counter>|<body>|<scope>[0]

- *key id*: 8 of ``0-9 a-f``, a hash of the key. *node id* and *boot*: those of the sender.
- *counter*: 1 to 16 of ``0-9 a-f`` without leading zeros, below 2^63: one more with each sealed datagram of this
  boot, of whatever scope and with whichever key.
- *body*: ciphertext and tag in base 64; where that would pass 1024 bytes, ``:`` and base 85 (`armour`).
- *scope*: for whom it is, and with that what it is *bound* to: authenticated, though not sent.

  ===== ================================== ==========================================================================
  scope for                                bound to
  ===== ================================== ==========================================================================
  ``b`` all on a link                      the sender's address on that link, 4 bytes
  ``u`` one node on a link                 that, and the boot of that node
  ``s`` beyond the links of the sender     nothing: a router may translate the address
  ``w`` kept for a will, which somebody    refused (``malformed``) until there are wills; so are counters from 2^63 on,
        else sends when the node is gone   which are kept for them
  ===== ================================== ==========================================================================

- ``0`` follows the scope exactly if a steady HELLO is inside, so that nothing but that ends in a digit, as in plain: a
  packet filter tells it from all else by the last byte. What is inside otherwise is ``malformed``.

A PONG of ``10.0.0.1`` to the boot ``a3d1e00942bb7c15`` under the key of the bytes 0 to 31, and a steady HELLO to its
link (one line, 161 bytes)::

    SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|2|0FJ8HmUd8CL7BgMr5cKyZFvjWsqWyT7gpaURanPxCJLLWG1bACwgAOw=|u
    SEALED|2|66b37b47|web1|5f0c8b1e2d3a4f60|0|U8U/YrC1ziyx3TyZNLUaNMXJPk5fO62VtfAXcsV7H6d8h1wXtkutd9ocPN
        XNMDKXnA0BEzLqNY6lSHasfZwZXnDwJxZC56u96C3vQJSTwtGbFp9m8sqI|b0

The cipher is ChaCha20-Poly1305 with a key of its own for each boot, keyed BLAKE2b (32 bytes) of
``<realm>|<node id>|<boot>``: it is a pseudo-random function by design, in the standard library, and a fifth
of the cost of HKDF, which strangers can make us pay with every boot they invent. The nonce is the counter,
96 bits, big-endian. Associated data are all bytes before the body, those after it, ``|``, and what it is bound to.

Inside is the plain datagram without what the header says or the seal is bound to; its kind is one letter::

    H|<interval>|<ttl>|<lasting>|<digest>|<seq>[|<once>[|<record>]]    digest empty where it is that of the record
    P|<nonce>|<to>                                                     to empty where it is who it is bound to, or
    A|<nonce>|<heard>|<held>                                           sixteen zeros in another scope than u

and NULs up to the length at which no answer is longer than its question, whatever the ids: a sealed PONG has
at most 155 bytes, a PING 155 to 158, a HELLO 158 or more.

**What it is to withstand.** Somebody on the same segment who hears all, sends anything from any address,
keeps it, reorders it, repeats it; but has no key. He can neither make a datagram, nor alter one, nor move one
to another realm, key, sender, boot or scope (all authenticated), nor send it from another address than its sender
has (scopes ``b`` and ``u``), nor send a unicast to somebody else or to a later run of its receiver. What is said beyond
the links of its sender is not listened to on a link, nor the other way round (``unbound``), so the last but one has no
way around it. Repeating a datagram to who may still take it is for `discoveryd.protocol.sealed.replay`
to stop. He does see who talks, when, how much, and under which id. Whoever has the key is trusted wholly, and
can open what was sealed with it before: there is no forward secrecy.

**A nonce is never used twice with one key**, for

1. a datagram takes its counter before it is sealed, the counter only ever grows, is one for all scopes,
   receivers and keys of the ring, outlives a change of the ring, and ends at 2^63: then nothing more is sealed;
2. there is one `Sealer` for a boot: `boot` is to be 64 bits drawn for it from the operating system. A restart
   is another boot, and so nothing is kept on a disk, and no clock is asked, which could be set back;
3. two runs that draw one boot share a key only under one realm and node id. n runs of one id do with a
   probability below n^2 / 2^65: for a node restarted each minute for ten years, 10^-6. It makes no difference
   whether these are runs of one machine or of clones that share the id;
4. different (key, realm, id, boot) give different derived keys, but for collisions of BLAKE2b: ``|`` stands in
   none of them, so the text hashed tells them apart;
5. a process that forks has two sealers with one counter: `process` tells the child, which may not seal;
6. the same datagram to two receivers is sealed twice. (A receiver that hears both on two links would take the
   second for a replay otherwise.)

Not prevented, but ended: a machine whose *memory* is cloned goes on with the boot and the counter it had. Whoever hears
both learns the XOR of two datagrams and can forge in the name of that boot. As soon as one of the two hears the other
it draws a new boot (`discoveryd.protocol.own_boot`), and so has another derived key. Not covered: a machine set back to
a snapshot, which nobody contradicts. Restart the daemon there.

*Any bytes give a plain datagram or a* `WireError`, *nothing else, in linear time.*
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from discoveryd.errors import SealError, WireError
from discoveryd.protocol.link import Source
from discoveryd.protocol.parameters import MAX_ID
from discoveryd.protocol.sealed.base85 import in_base64, pack, unpack
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.wire.hello import MAX_DATAGRAM, VERSION, read_hex, read_word
from discoveryd.protocol.wire.probe import ANYONE
from discoveryd.protocol.wire.record import digest_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SEALED = b"SEALED|"
"""What a sealed datagram begins with."""
MAX_COUNTER = 2**63
"""Datagrams of one boot: at 1,100 a second, the most a node sends, enough for a quarter of a billion years."""
MAX_SEALED_PONG = 155
MAX_SEALED_PING = 158
"""Bytes: 39 around it, an id of 32, a counter of 16, and 68 for what is inside; then up to the next 4 of base 64."""
MAX_SEALED_STEADY = 256
"""Bytes of a sealed HELLO without its record; 172 is the longest there is without lasting flags."""
TO_ALL, TO_ONE, BEYOND = b"b", b"u", b"s"
"""Scopes: for all on a link, for one node on it, for whoever is beyond the links."""
MAX_CIPHERS = 1024
"""Derived keys kept, 2 kB each; past it the one that came first goes, and costs 2 µs when it is wanted again."""

_LETTERS = {b"HELLO": b"H", b"PING": b"P", b"PONG": b"A"}
_LEAST = {b"HELLO": MAX_SEALED_PING, b"PING": MAX_SEALED_PONG, b"PONG": 0}
_SCOPES = {
    scope + mark: (scope, mark) for scope in (TO_ALL, TO_ONE, BEYOND) for mark in (b"", b"0")
}
_UNBOUND = {
    True: "said by one to whom we are not on its link, and it comes from ours",
    False: "said on a link of its sender, which is none of ours",
}
_TAG = 16
_HEX = frozenset(b"0123456789abcdef")
_ANYONE = ANYONE.encode("ascii")


class Opened(NamedTuple):
    """A datagram that is what its sender sealed; `discoveryd.protocol.sealed.replay` tells whether it is new.

    Attributes:
        datagram: plain, byte for byte; that it can be parsed is not said.
        key: id of the key.
        id: of the sender.
        boot: of the sender.
        scope: `TO_ALL`, `TO_ONE` (this boot) or `BEYOND`, as it was sealed.
        counter: of the sender's boot.
        is_steady: whether it is a steady HELLO.
    """

    datagram: bytes
    key: str
    id: str
    boot: str
    scope: bytes
    counter: int
    is_steady: bool = False

    @property
    def is_to_all(self) -> bool:
        """Whether it was said to all on a link."""
        return self.scope == TO_ALL


class Sealer:
    """Seals what one boot of a node sends, and opens what it hears. Not thread-safe, as the Node it belongs to.

    Args:
        keyring: may be empty, then all that is sealed is refused, and `cryptography` is not imported.
        realm: of the node.
        id: of the node.
        boot: of the node, drawn from the operating system for this sealer alone.
        process: tells one process from another (``os.getpid``), so that a fork does not seal.
    """

    def __init__(
        self, keyring: Keyring, *, realm: str, id: str, boot: str, process: Callable[[], int] = lambda: 0
    ) -> None:
        self._realm = realm.encode("ascii")
        self._id = id.encode("ascii")
        self._process = process
        self._born_in = process()
        self._keyring = keyring
        self.reboot(boot)

    def reboot(self, boot: str) -> None:
        """Seal for another boot from now on, drawn for this; the process that may seal stays the same one."""
        self._boot = boot.encode("ascii")
        self._counter = 0
        who = b"|2|%b|%b|%b|" % (self._realm, self._id, self._boot)
        self._heads = {
            b"HELLO": b"HELLO" + who,
            b"PING": b"PING" + who,
            b"PONG": b"PONG|2|%b|%b|" % (self._realm, self._boot),
        }
        self.set_keyring(self._keyring)

    @property
    def counter(self) -> int:
        """The counter that the next datagram takes."""
        return self._counter

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""
        return self._keyring

    def set_keyring(self, keyring: Keyring) -> None:
        """Take other keys, at any time; the counter goes on."""
        self._keyring = keyring
        self._keys = {key.id: key for key in keyring.keys}
        if keyring.keys:
            # not at the top: who has no keys must not wait for it
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415
            from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

            self._aead, self._invalid = ChaCha20Poly1305, InvalidTag
        self._own: dict[str, ChaCha20Poly1305] = {}
        self._ciphers: dict[tuple[str, bytes, bytes], ChaCha20Poly1305] = {}

    def seal(self, datagram: bytes, *, key: str, here: bytes = b"", to: str = "") -> bytes:
        """Seal one datagram for one `Send`: who sends it again, or elsewhere too, seals it again.

        Args:
            datagram: a HELLO, PING or PONG of this node, as encoded.
            key: id of the key, one of the ring: `Keyring.sends`, or the one a peer was last heard with.
            here: our address on the link where it goes out (`Link.packed`); empty for what goes beyond our links.
            to: boot of the one node on that link that it is for; empty for all.

        Raises:
            SealError: no such key; not of this node; too long; the counter is used up; forked.
        """
        kind = datagram.partition(b"|")[0]
        head = self._heads.get(kind)
        if head is None or not datagram.startswith(head):
            raise SealError(f"not a message of this node: {datagram[:40]!r}")
        one = to.encode("ascii") if here else b""
        inside = b"%b|%b" % (_LETTERS[kind], _shorten(kind, datagram[len(head) :], one or _ANYONE))
        cipher, counter = self._own_cipher(key), self._next_counter()
        header = b"SEALED|2|%b|%b|%b|%x|" % (key.encode("ascii"), self._id, self._boot, counter)
        scope = (TO_ONE if one else TO_ALL) if here else BEYOND
        tail = b"|%b0" % scope if datagram[-1:].isdigit() else b"|%b" % scope
        room = len(header) + len(tail)
        inside = inside.ljust(_least_inside(_LEAST[kind] - room), b"\0")
        is_long = room + in_base64(len(inside) + _TAG) > MAX_DATAGRAM
        if is_long:
            inside = inside.ljust(-(-len(inside) // 4) * 4, b"\0")
        raw = cipher.encrypt(counter.to_bytes(12, "big"), inside, b"%b%b|%b%b" % (header, tail, here, one))
        body = pack(raw, is_long=is_long)
        if room + len(body) > MAX_DATAGRAM:
            raise SealError(f"{room + len(body)} bytes when sealed, at most {MAX_DATAGRAM}")
        return header + body + tail

    def open(self, datagram: bytes, source: Source, *, own: bool = False) -> Opened:
        """Open a datagram, one that begins with `SEALED`.

        Args:
            datagram: as it came.
            source: where it came from: its sender must have said it there.
            own: open it also if it is sealed under our own boot, which another machine may have (a clone).

        Raises:
            WireError: ``malformed``, ``version``, ``too-long``, ``own-echo``; ``sealed`` (no keys here),
                ``unknown-key``, ``bad-seal`` (altered, or sealed with another key, for another realm, for another
                receiver or at another address), ``unbound`` (its scope is not that of where it came from).
        """
        fields = self._split(datagram)
        id, boot = read_word(fields[3], MAX_ID, "id"), read_hex(fields[4], "boot")
        counter = _read_counter(fields[5])
        raw = _read_body(fields[6])
        scope, mark = _read_scope(fields[7])
        if fields[4] == self._boot and not own:
            raise WireError("own-echo")
        key = fields[2].decode("ascii", "replace")
        if key not in self._keys:
            raise WireError("unknown-key", f"key {key[:20]!r} of {id}")
        whose = (key, fields[3], fields[4])
        cipher = self._ciphers.get(whose) or self._cipher(*whose)
        one = self._boot if scope == TO_ONE else b""
        here = b"" if scope == BEYOND else source.packed
        header = datagram[: -len(fields[6]) - len(fields[7]) - 1]
        try:
            inside = cipher.decrypt(counter.to_bytes(12, "big"), raw, b"%b|%b|%b%b" % (header, fields[7], here, one))
        except self._invalid:
            raise WireError("bad-seal", f"key {key} of {id}") from None
        self._keep(whose, cipher)
        if (scope == BEYOND) is not (source.link is None):
            raise WireError("unbound", _UNBOUND[scope == BEYOND])
        plain = _lengthen(inside.rstrip(b"\0"), self._realm, fields[3], fields[4], one or _ANYONE)
        if plain[-1:].isdigit() is not bool(mark):
            raise WireError("malformed", "the mark of a steady HELLO is not what is inside")
        return Opened(plain, key, id, boot, scope, counter, bool(mark))

    def _split(self, datagram: bytes) -> list[bytes]:
        if len(datagram) > MAX_DATAGRAM:
            raise WireError("too-long", f"{len(datagram)} bytes or more")
        if not datagram.startswith(SEALED):
            raise WireError("malformed", "does not begin with SEALED|")
        if not self._keys:
            raise WireError("sealed", "there are no keys here")
        fields = datagram.split(b"|")
        if fields[1] != VERSION:
            raise WireError("version", f"{fields[1][:20]!r}")
        if len(fields) != 8:
            raise WireError("malformed", f"{len(fields)} fields, not 8")
        return fields

    def _next_counter(self) -> int:
        """Take a counter: it is used from here on, whatever comes of it."""
        if self._process() != self._born_in:
            raise SealError("this process was forked from the one that seals: make a Node of its own here")
        counter = self._counter
        if counter >= MAX_COUNTER:
            raise SealError("all 2^63 nonces of this boot are used: restart the node")
        self._counter = counter + 1
        return counter

    def _own_cipher(self, key: str) -> ChaCha20Poly1305:
        if key not in self._keys:
            raise SealError(f"no key {key!r} in the ring")
        cipher = self._own.get(key)
        if cipher is None:
            cipher = self._own[key] = self._cipher(key, self._id, self._boot)
        return cipher

    def _cipher(self, key: str, id: bytes, boot: bytes) -> ChaCha20Poly1305:
        """Derive the key of one boot."""
        whose = b"%b|%b|%b" % (self._realm, id, boot)
        secret = self._keys[key].secret
        return self._aead(blake2b(whose, key=secret, digest_size=32, person=b"discoveryd-boot").digest())

    def _keep(self, whose: tuple[str, bytes, bytes], cipher: ChaCha20Poly1305) -> None:
        """Keep a derived key, now that something was opened with it: no stranger fills this."""
        if whose not in self._ciphers:
            if len(self._ciphers) >= MAX_CIPHERS:
                del self._ciphers[next(iter(self._ciphers))]
            self._ciphers[whose] = cipher


def _read_counter(digits: bytes) -> int:
    is_canonical = 0 < len(digits) <= 16 and _HEX.issuperset(digits) and (digits == b"0" or digits[:1] != b"0")
    counter = int(digits, 16) if is_canonical else MAX_COUNTER
    if counter >= MAX_COUNTER:
        raise WireError("malformed", f"counter {digits[:40]!r}")
    return counter


def _read_scope(field: bytes) -> tuple[bytes, bytes]:
    found = _SCOPES.get(field)
    if found is None:
        raise WireError("malformed", f"scope {field[:40]!r}")
    return found


def _read_body(body: bytes) -> bytes:
    try:
        raw = unpack(body)
    except ValueError:
        raise WireError("malformed", "the body is neither base 64 nor base 85") from None
    if len(raw) <= _TAG:
        raise WireError("malformed", "the body is too short")
    return raw


def _least_inside(body: int) -> int:
    """Say how long the inside must be for a body of at least so many characters of base 64."""
    return -(-body // 4) * 3 - _TAG


def _shorten(kind: bytes, rest: bytes, one: bytes) -> bytes:
    """Leave out what the receiver knows: whom a PING is for, the digest of a record that is there, the last bar."""
    rest = rest.removesuffix(b"|")
    if kind == b"PING":
        return rest.removesuffix(one)
    if kind == b"HELLO":
        fields = rest.split(b"|", 6)
        if len(fields) == 7 and fields[3] == digest_of(fields[6]).encode("ascii"):
            fields[3] = b""
            return b"|".join(fields)
    return rest


def _lengthen(inside: bytes, realm: bytes, id: bytes, boot: bytes, one: bytes) -> bytes:
    """Put in again what `_shorten` and `Sealer.seal` left out."""
    letter, _, rest = inside.partition(b"|")
    if letter == b"H":
        if rest.count(b"|") < 5:
            return b"HELLO|2|%b|%b|%b|%b" % (realm, id, boot, rest)
        fields = rest.split(b"|", 6)
        if len(fields) == 7 and not fields[3]:
            fields[3] = digest_of(fields[6]).encode("ascii")
        return b"HELLO|2|%b|%b|%b|%b|" % (realm, id, boot, b"|".join(fields))
    if letter == b"A":
        return b"PONG|2|%b|%b|%b|" % (realm, boot, rest)
    if letter == b"P":
        return b"PING|2|%b|%b|%b|%b%b|" % (realm, id, boot, rest, one if rest.endswith(b"|") else b"")
    raise WireError("malformed", "what is sealed is no HELLO, PING or PONG")
