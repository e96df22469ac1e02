import pytest

from discoveryd.errors import ConfigError
from discoveryd.protocol.sealed.keyring import MAX_KEYS, NO_KEYS, Key, Keyring

OLD, NEW = Key(bytes(range(32))), Key(bytes(range(1, 33)))


def test_a_key_shows_its_id_and_nothing_else():
    assert repr(OLD) == "Key(id='66b37b47')"
    assert repr(Keyring(keys=(OLD, NEW))) == f"Keyring(keys=(Key(id='66b37b47'), Key(id='{NEW.id}')), send_with='66b37b47', mode='off')"
    assert OLD.id not in OLD.secret.hex()
    assert OLD.id != NEW.id


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_has_32_bytes(length):
    with pytest.raises(ConfigError, match=f"a key has 32 bytes, not {length}$") as caught:
        Key(b"s" * length)
    assert "ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "sends", "takes_plain"), [("off", "", True), ("accept", OLD.id, True), ("require", OLD.id, False)]
)
def test_the_mode_decides_what_is_sent_and_taken(mode, sends, takes_plain):
    ring = Keyring(keys=(OLD, NEW), mode=mode)
    assert (ring.sends, ring.takes_plain) == (sends, takes_plain)


def test_the_first_key_is_sent_with_unless_told():
    assert Keyring(keys=(OLD, NEW)).send_with == OLD.id
    assert Keyring(keys=(OLD, NEW), send_with=NEW.id).send_with == NEW.id
    assert (NO_KEYS.send_with, NO_KEYS.sends, NO_KEYS.takes_plain) == ("", "", True)


@pytest.mark.parametrize(
    ("ring", "problems"),
    [
        ({"mode": "on"}, ["security.mode: must be one of off, accept, require, not 'on'"]),
        ({"mode": "accept"}, ["security.mode: accept needs a key: make one with discoveryd keygen"]),
        ({"keys": (OLD, NEW, OLD)},
         [f"security.keys: a key is there twice (66b37b47, {NEW.id}, 66b37b47): remove one of them"]),
        ({"keys": tuple(Key(bytes([number]) * 32) for number in range(MAX_KEYS + 1))},
         ["security.keys: 9 keys, at most 8: remove those no longer in use"]),
        ({"keys": (OLD,), "send_with": "a.key"},
         ["security.send_with: no key 'a.key' among 66b37b47: name one of security.keys"]),
        ({"mode": "require", "send_with": "ab"},
         ["security.mode: require needs a key: make one with discoveryd keygen",
          "security.send_with: no key 'ab' among none: name one of security.keys"]),
    ],
)  # fmt: skip
def test_a_wrong_keyring_is_refused_with_each_fault(ring, problems):
    with pytest.raises(ConfigError) as caught:
        Keyring(**ring)
    assert list(caught.value.problems) == problems


def test_a_keyring_holds_eight_keys():
    assert len(Keyring(keys=tuple(Key(bytes([number]) * 32) for number in range(MAX_KEYS))).keys) == 8
