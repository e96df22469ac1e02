r"""Sealing: every message in an envelope that only who has the key can write or read.

**The wire.** ASCII, at most 1024 bytes, seven fields::

    SEALED|1|<key id>|<node id>|<boot>|<class><counter>|<body>

- *key id*: 8 of ``0-9 a-f``, a hash of the key. *node id* and *boot*: those of the sender.
- *class*: ``b`` to all, or to a seed; ``u`` to one node: bound to the boot of that node, which is
  authenticated though not sent, so that it is worthless anywhere else, and there too after a restart.
- *counter*: 1 to 16 of ``0-9 a-f`` without leading zeros: one more with each sealed datagram of this boot,
  of either class and with whichever key.
- *body*: ciphertext and tag in base 64; where that would pass 1024 bytes, ``:`` and base 85 (`armour`).

A PONG to the boot ``a3d1e00942bb7c15`` under the key of the bytes 0 to 31, and a steady HELLO (one line, 151 bytes)::

    SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|u2|wWECOy9IoXKnVFIl58ThNVqzFMmTh3HpomLZJpV3vbN2VJmaSXG3gfg=
    SEALED|1|66b37b47|web1|5f0c8b1e2d3a4f60|b0|U/xLHs+1wiyxkXTVMLVSe8mYOR5RY6bPtKsZeY4tGJUAs20Xtkutd9oc
        PNXNMDKXnA0BEzLqNY6lSHasfZwZXnCH9K2uJmWETEE8OaiXbLqN

The cipher is ChaCha20-Poly1305 with a key of its own for each boot, keyed BLAKE2b (32 bytes) of
``<realm>|<node id>|<boot>``: it is a pseudo-random function by design, in the standard library, and a fifth
of the cost of HKDF, which strangers can make us pay with every boot they invent. The nonce is the counter,
96 bits, big-endian. Associated data are all bytes before the body, and the boot of the receiver in class ``u``.

Inside is the plain datagram without what the header says or the key is bound to::

    HELLO|<interval>|<ttl>|<flags>|<digest>|<seq>[|<record>]      digest empty where it is that of the record
    PING|<nonce>|<to>                                             to empty where it is who it is bound to
    PONG|<nonce>|<heard>

and NULs up to the length at which no answer is longer than its question, whatever the ids: a sealed PONG has
at most 146 bytes, a PING 146 to 149, a HELLO 149 or more.

**What it is to withstand.** Somebody on the same segment who hears all, sends anything from any address,
keeps it, reorders it, repeats it; but has no key. He can neither make a datagram, nor alter one, nor move one
to another realm, key, sender, boot or class (all authenticated), nor send a unicast to somebody else or to
a later run of its receiver. Repeating a datagram to who may still take it is for `discoveryd.protocol.replay`
to stop. He does see who talks, when, how much, and under which id. Whoever has the key is trusted wholly, and
can open what was sealed with it before: there is no forward secrecy.

**A nonce is never used twice with one key**, for

1. a datagram takes its counter before it is sealed, the counter only ever grows, is one for all classes,
   receivers and keys of the ring, outlives a change of the ring, and ends at 2^64: then nothing more is sealed;
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
it draws a new boot (`discoveryd.protocol.doubles`), and so has another derived key. Not covered: a machine set back to
a snapshot, which nobody contradicts. Restart the daemon there.

*Any bytes give a plain datagram or a* `WireError`, *nothing else, in linear time.*
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from discoveryd.errors import SealError, WireError
from discoveryd.protocol.armour import in_base64, pack, unpack
from discoveryd.protocol.hello import MAX_DATAGRAM, VERSION, read_hex, read_word
from discoveryd.protocol.keyring import Keyring
from discoveryd.protocol.parameters import MAX_ID
from discoveryd.protocol.probe import ANYONE
from discoveryd.protocol.record import digest_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SEALED = b"SEALED|"
"""What a sealed datagram begins with."""
MAX_COUNTER = 2**64
"""Datagrams of one boot: at 1,100 a second, the most a node sends, enough for half a billion years."""
MAX_SEALED_PONG = 146
MAX_SEALED_PING = 149
"""Bytes: 38 of header, an id of 32, a counter of 16, and 60 for what is inside; then up to the next 4 of base 64."""
MAX_SEALED_STEADY = 256
"""Bytes of a sealed HELLO without its record; 178 is the longest."""
MAX_CIPHERS = 1024
"""Derived keys kept, 2 kB each; past it the one that came first goes, and costs 2 µs when it is wanted again."""

_LEAST = {b"HELLO": MAX_SEALED_PING, b"PING": MAX_SEALED_PONG, b"PONG": 0}
_TAG = 16
_HEX = frozenset(b"0123456789abcdef")
_ANYONE = ANYONE.encode("ascii")


class Opened(NamedTuple):
    """A datagram that is what its sender sealed; whether it is new is not known yet (`discoveryd.protocol.replay`).

    Attributes:
        datagram: plain, byte for byte; that it can be parsed is not said.
        key: id of the key.
        id: of the sender.
        boot: of the sender.
        is_unicast: whether it was sealed for this boot alone.
        counter: of the sender's boot.
    """

    datagram: bytes
    key: str
    id: str
    boot: str
    is_unicast: bool
    counter: int


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
        who = b"|1|%b|%b|%b|" % (self._realm, self._id, self._boot)
        self._heads = {
            b"HELLO": b"HELLO" + who,
            b"PING": b"PING" + who,
            b"PONG": b"PONG|1|%b|%b|" % (self._realm, self._boot),
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

    def seal(self, datagram: bytes, *, key: str, to: str | None) -> bytes:
        """Seal one datagram for one `Send`: who sends it again, or elsewhere too, seals it again.

        Args:
            datagram: a HELLO, PING or PONG of this node, as encoded.
            key: id of the key, one of the ring: `Keyring.sends`, or the one a peer was last heard with.
            to: boot of the one node it is for; None for all (broadcast), and for a seed whose boot is not known.

        Raises:
            SealError: no such key; not of this node; too long; the counter is used up; forked.
        """
        kind = datagram.partition(b"|")[0]
        head = self._heads.get(kind)
        if head is None or not datagram.startswith(head):
            raise SealError(f"not a message of this node: {datagram[:40]!r}")
        bound = b"" if to is None else to.encode("ascii")
        inside = b"%b|%b" % (kind, _shorten(kind, datagram[len(head) :], bound or _ANYONE))
        cipher, counter = self._own_cipher(key), self._next_counter()
        header = b"SEALED|1|%b|%b|%b|%b%x|" % (
            key.encode("ascii"), self._id, self._boot, b"u" if bound else b"b", counter
        )  # fmt: skip
        inside = inside.ljust(_least_inside(_LEAST[kind] - len(header)), b"\0")
        is_long = len(header) + in_base64(len(inside) + _TAG) > MAX_DATAGRAM
        if is_long:
            inside = inside.ljust(-(-len(inside) // 4) * 4, b"\0")
        raw = cipher.encrypt(counter.to_bytes(12, "big"), inside, header + bound)
        body = pack(raw, is_long=is_long)
        if len(header) + len(body) > MAX_DATAGRAM:
            raise SealError(f"{len(header) + len(body)} bytes when sealed, at most {MAX_DATAGRAM}")
        return header + body

    def open(self, datagram: bytes, *, own: bool = False) -> Opened:
        """Open a datagram, one that begins with `SEALED`.

        Args:
            datagram: as it came.
            own: open it also if it is sealed under our own boot, which another machine may have (a clone).

        Raises:
            WireError: ``malformed``, ``version``, ``too-long``, ``own-echo``; ``sealed`` (no keys here),
                ``unknown-key``, ``bad-seal`` (altered, or sealed with another key, for another realm or for
                another receiver).
        """
        if len(datagram) > MAX_DATAGRAM:
            raise WireError("too-long", f"{len(datagram)} bytes or more")
        if not datagram.startswith(SEALED):
            raise WireError("malformed", "does not begin with SEALED|")
        if not self._keys:
            raise WireError("sealed", "there are no keys here")
        fields = datagram.split(b"|")
        if fields[1] != VERSION:
            raise WireError("version", f"{fields[1][:20]!r}")
        if len(fields) != 7:
            raise WireError("malformed", f"{len(fields)} fields, not 7")
        id, boot = read_word(fields[3], MAX_ID, "id"), read_hex(fields[4], "boot")
        is_unicast, counter = _read_place(fields[5])
        raw = _read_body(fields[6])
        if fields[4] == self._boot and not own:
            raise WireError("own-echo")
        key = fields[2].decode("ascii", "replace")
        if key not in self._keys:
            raise WireError("unknown-key", f"key {key[:20]!r} of {id}")
        whose = (key, fields[3], fields[4])
        cipher = self._ciphers.get(whose) or self._cipher(*whose)
        bound = self._boot if is_unicast else b""
        try:
            inside = cipher.decrypt(counter.to_bytes(12, "big"), raw, datagram[: -len(fields[6])] + bound)
        except self._invalid:
            raise WireError("bad-seal", f"key {key} of {id}") from None
        self._keep(whose, cipher)
        plain = _lengthen(inside.rstrip(b"\0"), self._realm, fields[3], fields[4], bound or _ANYONE)
        return Opened(plain, key, id, boot, is_unicast, counter)

    def _next_counter(self) -> int:
        """Take a counter: it is used from here on, whatever comes of it."""
        if self._process() != self._born_in:
            raise SealError("this process was forked from the one that seals: make a Node of its own here")
        counter = self._counter
        if counter >= MAX_COUNTER:
            raise SealError("all 2^64 nonces of this boot are used: restart the node")
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


def _read_place(field: bytes) -> tuple[bool, int]:
    digits = field[1:]
    is_canonical = 0 < len(digits) <= 16 and _HEX.issuperset(digits) and (digits == b"0" or digits[:1] != b"0")
    if field[:1] not in (b"b", b"u") or not is_canonical:
        raise WireError("malformed", f"class and counter {field[:40]!r}")
    return field[:1] == b"u", int(digits, 16)


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


def _shorten(kind: bytes, rest: bytes, bound: bytes) -> bytes:
    """Leave out what the receiver knows: whom a PING is for, the digest of a record that is there."""
    if kind == b"PING" and rest.endswith(b"|" + bound):
        return rest[: -len(bound)]
    if kind == b"HELLO":
        fields = rest.split(b"|", 5)
        if len(fields) == 6 and fields[3] == digest_of(fields[5]).encode("ascii"):
            fields[3] = b""
            return b"|".join(fields)
    return rest


def _lengthen(inside: bytes, realm: bytes, id: bytes, boot: bytes, bound: bytes) -> bytes:
    """Put in again what `_shorten` and `Sealer.seal` left out."""
    kind, _, rest = inside.partition(b"|")
    if kind == b"PONG":
        return b"PONG|1|%b|%b|%b" % (realm, boot, rest)
    if kind == b"PING":
        return b"PING|1|%b|%b|%b|%b%b" % (realm, id, boot, rest, bound if rest.endswith(b"|") else b"")
    if kind == b"HELLO":
        fields = rest.split(b"|", 5)
        if len(fields) == 6 and not fields[3]:
            fields[3] = digest_of(fields[5]).encode("ascii")
        return b"HELLO|1|%b|%b|%b|%b" % (realm, id, boot, b"|".join(fields))
    raise WireError("malformed", "what is sealed is no HELLO, PING or PONG")
