"""Durations: how they are written and read."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discoveryd.config.durations import MAX_DURATION, format_duration, parse_duration

SAMPLE = Path(__file__).parents[2] / "config" / "discoveryd.yaml"


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [("800ms", 0.8, "800ms"), ("4s", 4.0, "4s"), ("1.5s", 1.5, "1.5s"), ("1m", 60.0, "1m"), ("1h", 3600.0, "1h"),
     ("90s", 90.0, "90s"), ("120s", 120.0, "2m"), ("0.5m", 30.0, "30s"), ("1000ms", 1.0, "1s"), ("0s", 0.0, "0s"),
     ("0.001ms", 0.000001, "0.001ms"), ("268.5ms", 0.2685, "268.5ms"), ("1.234s", 1.234, "1.234s"),
     ("1000001ms", 1000.001, "1000.001s"), ("8760h", 31_536_000.0, "8760h")],
)  # fmt: skip
def test_a_duration_is_read_and_written(text, seconds, written):
    assert parse_duration(text) == seconds
    assert format_duration(seconds) == written


@pytest.mark.parametrize("text", ["4", "0", "1.5", "99999999999999999999"])
def test_a_bare_number_needs_a_unit(text):
    with pytest.raises(ValueError, match=re.escape(f"{text} needs a unit: {text}ms, {text}s, {text}m or {text}h")):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "s", "4 s", "-4s", "+4s", "4S", "4d", "1m30s", "1e3s", "inf", "٤s", ".5s", "4s\n"])
def test_a_wrong_duration_is_refused(text):
    message = f"must be a duration such as 800ms, 4s, 1.5s, 1m or 1h, not {text!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["8761h", "999999999h", "525600.1m"])
def test_a_duration_over_a_year_is_refused(text):
    with pytest.raises(ValueError, match=f"^must be at most 8760h, not {text}$"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=int(MAX_DURATION) * 1_000_000))
def test_a_duration_written_reads_back_as_the_same_number(microseconds):
    seconds = microseconds / 1_000_000
    assert parse_duration(format_duration(seconds)) == seconds
