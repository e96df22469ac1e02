"""The table of peers, and the text tools beside it."""

import re

import pytest

from discoveryd.query.formats.table import Screen, age, peers_table, table, width_of
from tests.query.samples import BARE, peer


def test_id_and_boot_are_shown_on_demand_or_for_equal_names():
    assert "ab12cd34" not in peers_table([peer()], Screen())
    assert "9f3a  ab12cd34" in peers_table([peer()], Screen(), wide=True)
    assert "7777" in peers_table([peer(), peer(id="7777", address="10.0.0.7")], Screen())
    assert "ID" not in peers_table([BARE, BARE | {"address": "10.0.0.8"}], Screen())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_fits_the_screen_and_shortens_long_cells_first(width):
    rows = [
        peer(name="n" * 60, tags={"description": "t" * 100}),
        peer(name="\u540d\u524d" * 12, state="suspect", address="192.168.100.200"),
    ]
    lines = peers_table(rows, Screen(width)).splitlines()
    assert max(map(width_of, lines)) <= width
    if width >= 80:
        assert "192.168.100.200" in lines[2]
        assert "suspect" in lines[2]
        assert "\u2026" in lines[1]
    unlimited = peers_table(rows, Screen())
    assert "n" * 60 in unlimited
    assert "\u2026" not in unlimited


FLEET = [
    peer(id=name[-2:], name=name, address=f"192.168.100.{200 + number}", tags={"about": "t" * 100}, boot=name[-2:])
    for number, name in enumerate(["web-frontend-with-a-long-name-01", "web-frontend-with-a-long-name-02"])
] + [peer(name="db", state="suspect")]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_list_keeps_name_state_and_address(width):
    lines = peers_table(FLEET, Screen(width)).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:3] == ["NAME", "STATE", "ADDRESS"]
    assert [line.split()[1:3] for line in lines[1:]] == [
        ["suspect", "10.0.0.2"], ["up", "192.168.100.200"], ["up", "192.168.100.201"],
    ]  # fmt: skip
    names = [line.split()[0] for line in lines[1:]]
    assert [name[-2:] for name in names] == ["db", "01", "02"]
    assert ("\u2026" in names[1]) == (width == 40)
    assert [name.startswith("web-") for name in names] == [False, True, True]


def test_one_row_does_not_pad_the_others_of_a_piped_list():
    short, *_ = peers_table([peer(name="a"), peer(name="b", tags={"about": "t" * 220})], Screen()).splitlines()[1:]
    assert short == "a     up     10.0.0.2  eth0  http:80   role=gpu  0.4s"


def test_columns_align_with_wide_characters():
    lines = table(("NAME", "X"), [("\u540d\u524d", "1"), ("e\u0301", "2")], Screen()).splitlines()
    assert {width_of(one) for one in lines} == {7}


def test_colour_is_only_the_states():
    plain = peers_table([peer(), peer(state="down", id="b", name="b")], Screen(100))
    coloured = peers_table([peer(), peer(state="down", id="b", name="b")], Screen(100, colour=True))
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert "\x1b[32mup   \x1b[0m" in coloured
    assert "\x1b[31mdown \x1b[0m" in coloured


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"), (0.31, "0.3s"), (9.94, "9.9s"), (9.96, "9s"), (12.7, "12s"), (59.99, "59s"), (60, "1m"),
        (3599, "59m"), (3600, "1h"), (172799, "47h"), (172800, "2d"), (8640000, "100d"),
    ],
)  # fmt: skip
def test_ages(seconds, text):
    assert age(seconds) == text
