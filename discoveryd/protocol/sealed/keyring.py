"""The keys that a group of nodes shares, as values. A node with a key can seal, and open what is sealed with it."""

from dataclasses import field

from discoveryd.errors import ConfigError
from discoveryd.frozen import frozen
from discoveryd.protocol.blake import blake2b

KEY_BYTES = 32
MAX_KEYS = 8
"""Keys of a ring: one to send with, one to change to, and room for a change that was left half done."""
MODES = ("off", "accept", "require")


@frozen(kw_only=False)
class Key:
    """One shared key. Logs show its id alone.

    Attributes:
        secret: 32 random bytes.
        id: 8 hexadecimal digits that tell it from other keys, and nothing about it.

    Raises:
        ConfigError: the secret is not 32 bytes.
    """

    secret: bytes = field(repr=False)
    id: str = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise ConfigError(f"security.keys: a key has {KEY_BYTES} bytes, not {len(self.secret)}")
        digest = blake2b(self.secret, digest_size=4, person=b"discoveryd-keyid").hexdigest()
        object.__setattr__(self, "id", digest)


@frozen
class Keyring:
    """The keys of a node, and what it does with them.

    Attributes:
        keys: all that it accepts, at most 8.
        send_with: id of the key to seal with; empty for the first.
        mode: ``off`` sends plain, takes plain, and opens what is sealed; ``accept`` seals and takes both;
            ``require`` seals and takes nothing plain.
        sends: id of the key that seals HELLOs, empty if they are sent plain.
        takes_plain: whether plain datagrams are accepted.

    Raises:
        ConfigError: with every fault.
    """

    keys: tuple[Key, ...] = ()
    send_with: str = ""
    mode: str = "off"
    sends: str = field(init=False, repr=False, compare=False)
    takes_plain: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = [key.id for key in self.keys]
        problems = []
        if self.mode not in MODES:
            problems.append(f"security.mode: must be one of {', '.join(MODES)}, not {self.mode!r:.80}")
        elif self.mode != "off" and not ids:
            problems.append(f"security.mode: {self.mode} needs a key: make one with discoveryd keygen")
        if len(ids) > MAX_KEYS:
            problems.append(f"security.keys: {len(ids)} keys, at most {MAX_KEYS}: remove those no longer in use")
        if len(set(ids)) < len(ids):
            problems.append(f"security.keys: a key is there twice ({', '.join(ids)}): remove one of them")
        if self.send_with and self.send_with not in ids:
            problems.append(
                f"security.send_with: no key {self.send_with!r:.80} among {', '.join(ids) or 'none'}: "
                "name one of security.keys"
            )
        if problems:
            raise ConfigError(*problems)
        if ids and not self.send_with:
            object.__setattr__(self, "send_with", ids[0])
        object.__setattr__(self, "sends", "" if self.mode == "off" else self.send_with)
        object.__setattr__(self, "takes_plain", self.mode != "require")

    def ranks(self) -> dict[str, int]:
        """Return the rank of each variant in which a peer may be heard, 0 for the preferred; empty stands for plain."""
        variants = dict.fromkeys((self.sends, *(key.id for key in self.keys), *([""] if self.takes_plain else [])))
        return {variant: rank for rank, variant in enumerate(variants)}


NO_KEYS = Keyring()
