from base64 import b85decode

import pytest

from discoveryd.protocol.sealed.envelope import pack, unpack


@pytest.mark.parametrize("raw", [b"", b"a", b"ab", b"abc", bytes(range(256)), b"\0" * 9, b"\xff" * 7])
def test_base_64_round_trip(raw):
    text = pack(raw, is_long=False)
    assert unpack(text) == raw
    assert len(text) == -(-len(raw) // 3) * 4


@pytest.mark.parametrize("raw", [b"", b"\0" * 8, b"\xff" * 400, bytes(range(256)), bytes(range(255, -1, -1)) * 3])
def test_base_85_round_trip(raw):
    text = pack(raw, is_long=True)
    assert text.startswith(b":")
    assert len(text) == 1 + len(raw) // 4 * 5
    assert b"|" not in text
    assert text.isascii()
    assert unpack(text) == raw
    assert b85decode(text[1:].replace(b"/", b"|")) == raw  # any library reads it


@pytest.mark.parametrize("index", range(85))
def test_every_digit_at_every_place_of_base_85(index):
    digit = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"[index : index + 1]
    for place in range(5):
        text = b"00000" + b"0" * place + digit + b"0" * (4 - place)
        if index < 83 or place:
            assert unpack(b":" + text.replace(b"|", b"/")) == b85decode(text)


@pytest.mark.parametrize(
    "text",
    [b"QQ", b"QQ=", b"QR==", b"QQ==\n", b"Q Q==", b"QQ==QQ==", b"QQ===", b"=", b"Q", b"QQ-=", b"\xff\xff\xff\xff", b"QUJD|", b"AA::",
     b":0", b":0000", b":000000", b":0000|", b":0000 ", b":0000\0", b":0000\xff", b":~~~~~", b":|NsC1", b":/NsC1", b":00000~~~~~", b"::0000", b':0000"'],
)  # fmt: skip
def test_text_that_pack_does_not_write_is_refused(text):
    with pytest.raises(ValueError, match=r"base|padding|4|character"):
        unpack(text)


def test_the_largest_group_of_base_85():
    assert unpack(b":/NsC0") == b"\xff\xff\xff\xff"
