"""The envelope: a message that only a node with the key can write or read. `Sealer` seals, opens, and refuses.

`discoveryd.protocol` specifies its bytes, its scopes, and what each scope is bound to. Here is why they are so.

**What it withstands.** An attacker on the same segment hears every datagram, sends anything from any address, keeps
it, reorders it and repeats it, but has no key. That attacker can neither make a datagram, nor alter it, nor move it to
another realm, key, sender, boot or scope (all authenticated), nor send it from another address than its sender has
(scopes ``b`` and ``u``), nor give a unicast to another node or to a later run of its receiver. A datagram for beyond
the links of its sender is not heard on a link, nor the other way round (``unbound``): else scope ``s`` would be a way
around the bound address. `discoveryd.protocol.sealed.channel` stops a repetition to a receiver that may still take it.
The attacker does see which nodes talk, when, how much, and under which id. A node with the key is trusted wholly, and
can open what was sealed with it before: there is no forward secrecy.

**A nonce is never used twice with one key**, because

1. a datagram takes its counter before it is sealed; the counter only grows, is the same for all scopes, receivers and
   keys of the ring, outlives a change of the ring, and ends at 2^63: from then on nothing is sealed;
2. there is one `Sealer` for a boot, and a boot is 64 bits drawn for it from the operating system. A restart is another
   boot, so nothing is kept on a disk, and no clock is read, which could be set back;
3. two runs that draw the same boot share a key only under the same realm and node id. For n runs of one id that has a
   probability below n^2 / 2^65: 10^-6 for a node restarted each minute for ten years. It makes no difference whether
   these are runs of one machine or of clones that share the id;
4. different (key, realm, id, boot) give different derived keys, but for collisions of BLAKE2b: ``|`` stands in none of
   them, so the hashed text tells them apart;
5. a process that forks has two sealers with one counter: `process` tells the child, which may not seal;
6. a datagram to two receivers is sealed twice. (A receiver that hears both on two links would otherwise take the second
   for a replay.)
7. a will is sealed long before it is sent, by another process, and perhaps never. Its counters are a range of their
   own, from 2^63 on, which only grows too; so it takes none that a datagram sealed later would have.

The key of each boot is derived by keyed BLAKE2b: it is a pseudo-random function by design, in the standard library, and
costs a fifth of HKDF, which strangers can make us pay with every boot they invent.

Not prevented, but ended: a machine whose *memory* is cloned goes on with the boot and the counter it had. A listener to
both learns the XOR of two datagrams and can forge in the name of that boot. As soon as one of the two hears the other,
it draws a new boot (`discoveryd.protocol.own_boot`), and so has another derived key. Not covered: a machine set back to
a snapshot, which no other machine contradicts. Restart the daemon there.

**Its body** is printable ASCII without ``|``: base 64, and base 85 where that would be too long. Base 85 begins with
``:`` and has the alphabet of RFC 1924, with ``/`` for ``|``. Strangers choose what is decoded, so the decoder is quick:
four times as quick as the standard library's, which would take longer for one datagram than all the rest.

*Any bytes give a plain datagram or a* `WireError`, *nothing else, in linear time.*
"""

from __future__ import annotations

import re
from base64 import b85encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from discoveryd.errors import SealError, WireError
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.link import Source
from discoveryd.protocol.sealed.keyring import Keyring
from discoveryd.protocol.wire.fields import FIELDS
from discoveryd.protocol.wire.kinds import KINDS, LETTERS
from discoveryd.protocol.wire.messages import ANYONE, MAX_DATAGRAM, QUIET, SEALED, VERSION, WILL

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAX_COUNTER = 2**63
"""Datagrams of one boot: at 1,100 a second, the most a node sends, enough for a quarter of a billion years."""
MAX_WILL = 2**64
"""Counters from `MAX_COUNTER` up to this are those of wills."""
TO_ALL, TO_ONE, BEYOND, OF_WILL = b"b", b"u", b"s", b"w"
"""Scopes: for all on a link, for one node on it, for receivers beyond the links; of a will, wherever it goes."""
MAX_CIPHERS = 1024
"""Derived keys kept, 2 kB each; past it the oldest one goes, and costs 2 µs when it is needed again."""

_SCOPES, _MARKS = (TO_ALL, TO_ONE, BEYOND, OF_WILL), (b"", QUIET)
_TAG = 16
_ANYONE = ANYONE.encode("ascii")
_is_counter = re.compile(b"0|[1-9a-f][0-9a-f]{0,15}").fullmatch
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{/}~"
_ODD = 255
_DIGITS = bytes(_ALPHABET.index(byte) if byte in _ALPHABET else _ODD for byte in range(256))
_WITHOUT_BAR = bytes.maketrans(b"|", b"/")


class Opened(NamedTuple):
    """A datagram as its sender sealed it; `discoveryd.protocol.sealed.channel` tells whether it is new.

    Attributes:
        datagram: plain, byte for byte; it is not checked whether it can be decoded.
        key: id of the key.
        id: of the sender.
        boot: of the sender.
        scope: `TO_ALL`, `TO_ONE` (this boot), `BEYOND` or `OF_WILL`, as it was sealed.
        counter: of the sender's boot.
        is_quiet: whether it is a steady HELLO, or one with the record that says nothing new.
    """

    datagram: bytes
    key: str
    id: str
    boot: str
    scope: bytes
    counter: int
    is_quiet: bool = False

    @property
    def is_to_all(self) -> bool:
        """Whether it was for all nodes on a link."""
        return self.scope == TO_ALL


def derive(secret: bytes, realm: bytes, id: bytes, boot: bytes) -> bytes:
    """Return the key of one boot, which a shared key gives."""
    return blake2b(b"%b|%b|%b" % (realm, id, boot), key=secret, digest_size=32, person=b"discoveryd-boot").digest()


class Sealer:
    """Seals the datagrams of one boot of a node, and opens those of others. Not thread-safe, like the `Node` it is for.

    Args:
        keyring: may be empty; then every envelope is refused, and `cryptography` is not imported.
        realm: of the node.
        id: of the node.
        boot: of the node, drawn from the operating system for this sealer alone.
        process: tells one process from another (``os.getpid``), so that a fork does not seal.
        counter: of the first datagram.

    Attributes:
        keyring: the keys in use; `set_keyring` changes them.
        counter: that the next datagram takes.
        will_counter: that the next will takes.
    """

    def __init__(
        self, keyring: Keyring, *, realm: str, id: str, boot: str,
        process: Callable[[], int] = lambda: 0, counter: int = 0,
    ) -> None:
        self._realm, self._id = realm.encode("ascii"), id.encode("ascii")
        self._process = process
        self._born_in = process()
        self.keyring = keyring
        self.reboot(boot)
        self.counter = counter

    def reboot(self, boot: str) -> None:
        """Seal for another boot from now on, drawn for this; the process that may seal stays the same one."""
        self._boot = boot.encode("ascii")
        self.counter, self.will_counter = 0, MAX_COUNTER
        sender = self._realm, self._id, self._boot
        self._heads = {word: (kind, kind.head(*sender)) for word, kind in KINDS.items()}
        self.set_keyring(self.keyring)

    def set_keyring(self, keyring: Keyring) -> None:
        """Use other keys from now on; the counter goes on."""
        self.keyring = keyring
        self._keys = {key.id: key for key in keyring.keys}
        if keyring.keys:
            # not at the top: nodes without keys must not wait for it
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415
            from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415

            self._aead, self._invalid = ChaCha20Poly1305, InvalidTag
        self._ciphers: dict[tuple[str, bytes, bytes], ChaCha20Poly1305] = {}

    def seal(self, datagram: bytes, *, key: str, here: bytes = b"", to: str = "") -> bytes:
        """Seal a datagram for one `Send`: to send it again, or elsewhere too, seal it again.

        Args:
            datagram: a message of this node, as encoded.
            key: id of the key, one of the ring: `Keyring.sends`, or the one a peer was last heard with.
            here: our address on the link where it goes out (`Link.packed`); empty for beyond our links.
            to: boot of the one node on that link that it is for; empty for all.

        Raises:
            SealError: no such key; not of this node; too long; the counter is used up; forked.
        """
        kind, head = self._heads.get(datagram.partition(b"|")[0], (None, b""))
        if kind is None or not datagram.startswith(head):
            raise SealError(f"not a message of this node: {datagram[:40]!r}")
        one = to.encode("ascii") if here else b""
        inside = b"%b|%b" % (kind.letter, kind.shorten(datagram[len(head) :], one or _ANYONE))
        if key not in self._keys:
            raise SealError(f"no key {key!r} in the ring")
        sender = (key, self._id, self._boot)
        is_will = kind.word == WILL
        cipher, counter = self._cipher(sender), self._next_counter(is_will=is_will)
        self._keep(sender, cipher)
        header = b"SEALED|2|%b|%b|%b|%x|" % (key.encode("ascii"), self._id, self._boot, counter)
        scope = OF_WILL if is_will else (TO_ONE if one else TO_ALL) if here else BEYOND
        tail = b"|%b%b" % (scope, QUIET if datagram[-1:].isdigit() else b"")
        room = len(header) + len(tail)
        # base 64 has 4 characters for 3 bytes, which are rounded up
        inside = inside.ljust(-((room - kind.least) // 4) * 3 - _TAG, b"\0")
        is_long = room - (-(len(inside) + _TAG) // 3) * 4 > MAX_DATAGRAM
        if is_long:
            inside = inside.ljust(-(-len(inside) // 4) * 4, b"\0")
        raw = cipher.encrypt(counter.to_bytes(12, "big"), inside, b"%b%b|%b%b" % (header, tail, here, one))
        body = pack(raw, is_long=is_long)
        if room + len(body) > MAX_DATAGRAM:
            raise SealError(f"{room + len(body)} bytes when sealed, at most {MAX_DATAGRAM}")
        return header + body + tail

    def open(self, datagram: bytes, source: Source, *, own: bool = False) -> Opened:
        """Open an envelope.

        Args:
            datagram: as it came, beginning with `SEALED`.
            source: where it came from: its sender must have sent it there.
            own: open it also if it is sealed under our own boot, which another machine may have (a clone).

        Raises:
            WireError: ``malformed``, ``version``, ``too-long``, ``own-echo``; ``sealed`` (no keys here),
                ``unknown-key``, ``bad-seal`` (altered, or sealed with another key, for another realm, for another
                receiver or at another address), ``unbound`` (its scope does not fit where it came from).
        """
        fields = self._split(datagram)
        id, boot = FIELDS["id"](fields[3]), FIELDS["boot"](fields[4])
        counter = _read_counter(fields[5])
        raw = _read_body(fields[6])
        scope, mark = fields[7][:1], fields[7][1:]
        if scope not in _SCOPES or mark not in _MARKS:
            raise WireError("malformed", f"scope {fields[7][:40]!r}")
        if (counter >= MAX_COUNTER) is not (scope == OF_WILL):
            raise WireError("malformed", f"counter {fields[5][:40]!r} in scope {fields[7][:40]!r}")
        if fields[4] == self._boot and not own:
            raise WireError("own-echo")
        key = fields[2].decode("ascii", "replace")
        if key not in self._keys:
            raise WireError("unknown-key", f"key {key[:20]!r} of {id}")
        sender = (key, fields[3], fields[4])
        cipher = self._cipher(sender)
        one = self._boot if scope == TO_ONE else b""
        # a will has one scope for its link and for beyond: the bound address tells these apart
        here = b"" if scope == BEYOND or (scope == OF_WILL and source.link is None) else source.packed
        header = datagram[: -len(fields[6]) - len(fields[7]) - 1]
        try:
            inside = cipher.decrypt(counter.to_bytes(12, "big"), raw, b"%b|%b|%b%b" % (header, fields[7], here, one))
        except self._invalid:
            raise WireError("bad-seal", f"key {key} of {id}") from None
        self._keep(sender, cipher)
        if scope != OF_WILL and (scope == BEYOND) is not (source.link is None):
            sealed_for = "beyond the links of its sender" if scope == BEYOND else "a link that is not ours"
            raise WireError("unbound", f"sealed for {sealed_for}")
        letter, _, rest = inside.rstrip(b"\0").partition(b"|")
        kind = LETTERS.get(letter)
        if kind is None or (kind.word == WILL) is not (scope == OF_WILL):
            raise WireError("malformed", "the seal holds no known kind, or none of its scope")
        plain = kind.head(self._realm, fields[3], fields[4]) + kind.lengthen(rest, one or _ANYONE)
        if plain[-1:].isdigit() is not bool(mark):
            raise WireError("malformed", "the mark of a quiet HELLO is not what is inside")
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

    def _next_counter(self, *, is_will: bool) -> int:
        """Take a counter: it is used from here on, whatever comes of it."""
        if self._process() != self._born_in:
            raise SealError("this process was forked from the one that seals: make a Node of its own here")
        counter = self.will_counter if is_will else self.counter
        if counter >= (MAX_WILL if is_will else MAX_COUNTER):
            raise SealError("all 2^63 nonces of this boot are used: restart the node")
        if is_will:
            self.will_counter += 1
        else:
            self.counter += 1
        return counter

    def _cipher(self, sender: tuple[str, bytes, bytes]) -> ChaCha20Poly1305:
        key, id, boot = sender
        return self._ciphers.get(sender) or self._aead(derive(self._keys[key].secret, self._realm, id, boot))

    def _keep(self, sender: tuple[str, bytes, bytes], cipher: ChaCha20Poly1305) -> None:
        """Keep a derived key, once it has opened an envelope or is our own: strangers take no place."""
        if sender not in self._ciphers:
            put_last(self._ciphers, sender, cipher, MAX_CIPHERS)


def _read_counter(digits: bytes) -> int:
    """Read a counter as `Sealer.seal` writes it: hexadecimal, without leading zeros."""
    if not _is_counter(digits):
        raise WireError("malformed", f"counter {digits[:40]!r}")
    return int(digits, 16)


def _read_body(body: bytes) -> bytes:
    try:
        raw = unpack(body)
    except ValueError:
        raise WireError("malformed", "the body is neither base 64 nor base 85") from None
    if len(raw) <= _TAG:
        raise WireError("malformed", "the body is too short")
    return raw


def pack(raw: bytes, *, is_long: bool) -> bytes:
    """Write bytes in base 64; if `is_long`, a multiple of 4 bytes in base 85."""
    if not is_long:
        return b2a_base64(raw, newline=False)
    assert len(raw) % 4 == 0, "the caller pads"
    return b":" + b85encode(raw).translate(_WITHOUT_BAR)


def unpack(text: bytes) -> bytes:
    """Read the text that `pack` wrote; another text for the same bytes is refused.

    Raises:
        ValueError: `pack` never writes this.
    """
    if text.startswith(b":"):
        return _from_base85(text[1:])
    raw = a2b_base64(text)
    if b2a_base64(raw, newline=False) != text:
        raise ValueError("not base 64 as it is written")
    return raw


def _from_base85(text: bytes) -> bytes:
    groups, rest = divmod(len(text), 5)
    digits = text.translate(_DIGITS)
    if rest or _ODD in digits:
        raise ValueError("not base 85")
    # all groups at once: one long number in which each group has 8 bytes (85^5 needs 5 of them)
    total = 0
    for place in range(5):
        column = bytearray(8 * groups)
        column[7::8] = digits[place::5]
        total = total * 85 + int.from_bytes(column, "big")
    wide = total.to_bytes(8 * groups, "big")
    if wide[3::8].strip(b"\0"):
        raise ValueError("not base 85: five characters over 2^32")
    raw = bytearray(4 * groups)
    for place in range(4):
        raw[place::4] = wide[4 + place :: 8]
    return bytes(raw)
