"""Sealed payloads: messages of any length in binary, which a broker carries that is no insider.

They have what the envelope of datagrams has (`discoveryd.protocol.sealed.envelope` says why): the header is
authenticated, the key of each run is derived from a shared key, and the counter is the nonce. They differ in this:

- they derive other keys from the same shared key (another ``person`` of BLAKE2b), so no nonce of a datagram can be
  theirs, whatever id and boot it has;
- in the place of the boot stands a *run*: 64 bits drawn for one `PayloadSealer`. A part of the daemon that is made anew
  in the same boot begins at counter 0 again, and has another derived key;
- they are bound to where they are published: moved to another subject they do not open.

Without a key the same header stands in front of a body that anybody can read, and forge.

*Any bytes give a payload or a* `WireError`, *nothing else, in linear time.*
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from discoveryd.errors import SealError, WireError
from discoveryd.protocol.blake import blake2b
from discoveryd.protocol.bounded import put_last
from discoveryd.protocol.sealed.keyring import Keyring

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

HEAD, PAYLOAD_VERSION, PLAIN = b"SITE", b"1", b"-"
MAX_PAYLOADS: Final = 2**63
"""Payloads of one run."""
MAX_RUNS = 1024
"""Derived keys kept."""

_is_payload = re.compile(
    rb"SITE\|([0-9]{1,4})\|(-|[0-9a-f]{8})\|([A-Za-z0-9._-]{1,32})\|([0-9a-f]{16})\|(0|[1-9a-f][0-9a-f]{0,15})\|"
).match


class Payload(NamedTuple):
    """A payload as its sender made it.

    Attributes:
        key: id of the key, empty for plain.
        id: of the node that sent it.
        run: of its sealer.
        counter: of the run.
        body: what is inside.
    """

    key: str
    id: str
    run: str
    counter: int
    body: bytes


class PayloadSealer:
    """Seals the payloads of one run of a node, and opens those of others. Not thread-safe.

    Args:
        keyring: may be empty, or of the mode ``off``: then payloads are sent plain.
        realm: of the node.
        id: of the node.
        run: 16 hexadecimal digits, drawn from the operating system for this sealer alone.
        process: tells one process from another (``os.getpid``), so that a fork does not seal.

    Attributes:
        keyring: the keys in use.
        run: of this sealer.
        counter: that the next payload takes.
    """

    def __init__(
        self, keyring: Keyring, *, realm: str, id: str, run: str, process: Callable[[], int] = lambda: 0
    ) -> None:
        self._realm, self._id = realm.encode("ascii"), id.encode("ascii")
        self._process, self._born_in = process, process()
        self.run = run
        self.counter = 0
        self.set_keyring(keyring)

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

    def seal(self, body: bytes, subject: str) -> bytes:
        """Return a payload for one publication: to publish it again, seal it again.

        Raises:
            SealError: the counter is used up; forked.
        """
        if self._process() != self._born_in:
            raise SealError("this process was forked from the one that seals")
        if self.counter >= MAX_PAYLOADS:
            raise SealError("all 2^63 nonces of this run are used: restart the node")
        counter, self.counter = self.counter, self.counter + 1
        key, run = self.keyring.sends, self.run.encode("ascii")
        name = key.encode("ascii") if key else PLAIN
        header = b"%b|%b|%b|%b|%b|%x|" % (HEAD, PAYLOAD_VERSION, name, self._id, run, counter)
        if not key:
            return header + body
        cipher = self._cipher((key, self._id, run))
        self._ciphers[key, self._id, run] = cipher
        return header + cipher.encrypt(counter.to_bytes(12, "big"), body, header + subject.encode("ascii"))

    def open(self, payload: bytes, subject: str) -> Payload:
        """Open a payload that came by a subject.

        Raises:
            WireError: ``malformed``, ``version``; ``plain`` (but a seal is required), ``sealed`` (no keys here),
                ``unknown-key``, ``bad-seal`` (altered, of another realm, moved here from another subject).
        """
        found = _is_payload(payload)
        if found is None:
            raise WireError("malformed", f"payload {payload[:40]!r}")
        version, name, id, run, digits = found.groups()
        if version != PAYLOAD_VERSION:
            raise WireError("version", version.decode("ascii"))
        header, body, counter = found[0], payload[found.end() :], int(digits, 16)
        if name == PLAIN:
            if not self.keyring.takes_plain:
                raise WireError("plain", id.decode("ascii"))
            return Payload("", id.decode("ascii"), run.decode("ascii"), counter, body)
        if not self._keys:
            raise WireError("sealed", "there are no keys here")
        key = name.decode("ascii")
        if key not in self._keys:
            raise WireError("unknown-key", f"key {key} of {id.decode('ascii')}")
        cipher = self._cipher((key, id, run))
        try:
            body = cipher.decrypt(counter.to_bytes(12, "big"), body, header + subject.encode("ascii", "replace"))
        except self._invalid:
            raise WireError("bad-seal", f"key {key} of {id.decode('ascii')}") from None
        put_last(self._ciphers, (key, id, run), cipher, MAX_RUNS)
        return Payload(key, id.decode("ascii"), run.decode("ascii"), counter, body)

    def _cipher(self, sender: tuple[str, bytes, bytes]) -> ChaCha20Poly1305:
        key, id, run = sender
        return self._ciphers.get(sender) or self._aead(derive_run(self._keys[key].secret, self._realm, id, run))


def derive_run(secret: bytes, realm: bytes, id: bytes, run: bytes) -> bytes:
    """Return the key of one run, which a shared key gives."""
    return blake2b(b"%b|%b|%b" % (realm, id, run), key=secret, digest_size=32, person=b"discoveryd-sites").digest()
