"""How single values of a configuration are written and read."""

import re

VARIABLE_PREFIX = "DISCOVERYD_"
"""Of the environment variables that override a key, as in ``DISCOVERYD_HELLO__INTERVAL``."""

MAX_DURATION = 365 * 86_400.0
"""Seconds of the longest duration. Its microseconds are exact in a float, so that what is written reads
back as the same number."""

_DURATION = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)"  # compiled when used, not before the first HELLO
_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def parse_duration(text: str) -> float:
    """Read a duration such as ``800ms``, ``4s``, ``1.5s``, ``1m`` or ``1h``, in seconds.

    Raises:
        ValueError: says what is allowed.
    """
    found = re.fullmatch(_DURATION, text)
    if not found:
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            raise ValueError(f"{text:.40} needs a unit: {text:.40}ms, {text:.40}s, {text:.40}m or {text:.40}h")
        raise ValueError(f"must be a duration such as 800ms, 4s, 1.5s, 1m or 1h, not {text!r:.80}")
    microseconds = round(float(found[1]) * _MICROSECONDS[found[2]])
    if microseconds > MAX_DURATION * 1_000_000:
        raise ValueError(f"must be at most {format_duration(MAX_DURATION)}, not {text}")
    return microseconds / 1_000_000


def format_duration(seconds: float) -> str:
    """Return a duration as a person would write it; `parse_duration` returns the same number."""
    microseconds = round(seconds * 1_000_000)
    for unit in ("h", "m", "s"):
        if microseconds and microseconds % _MICROSECONDS[unit] == 0:
            return f"{microseconds // _MICROSECONDS[unit]}{unit}"
    if 0 < microseconds < 1_000_000:
        return f"{microseconds / 1_000:.3f}".rstrip("0").rstrip(".") + "ms"
    return f"{microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"


def shown(text: str) -> str:
    """Return text of unknown origin so that it fits into a line of a message."""
    return text if text.isprintable() and len(text) <= 200 else ascii(text[:200])
