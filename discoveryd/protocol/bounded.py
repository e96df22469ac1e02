"""Dicts that keep the latest entries: each that grows by what others send has a bound."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def put_last(kept: dict[Key, Value], key: Key, value: Value, limit: int) -> None:
    """Put an entry at the end; past the limit, which may have become lower, the first ones are dropped."""
    kept.pop(key, None)
    while len(kept) >= limit:
        del kept[next(iter(kept))]
    kept[key] = value
