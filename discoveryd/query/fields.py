"""The fields of a request, read and checked; each error says what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from discoveryd.errors import QueryError

MAX_GLOB = 128
"""Characters of a glob; a name has at most 64."""
EVERY_SITE = "all"
"""What is asked for in place of the name of a site."""


def bad_argument(message: str) -> QueryError:
    """Return the refusal of an argument."""
    return QueryError("bad_argument", message)


def read_site(fields: Mapping[str, Any]) -> str:
    """Return the site that a request is about, empty for this network alone."""
    site = read_text(fields, "site")
    if site is not None and not 1 <= len(site) <= MAX_GLOB:
        raise bad_argument(f"site must be the name of a site, or {EVERY_SITE}, not {site!r:.60}")
    return site or ""


def read_tags(fields: Mapping[str, Any]) -> Mapping[str, str]:
    """Return tags, as an object of texts."""
    tags = fields.get("tags")
    if tags is not None and not (isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())):
        raise bad_argument(f"tags must be an object of texts, not {tags!r:.60}")
    return tags or {}


def read_glob(fields: Mapping[str, Any]) -> str | None:
    """Return the glob for a name; None without."""
    name = read_text(fields, "name")
    if name is not None and len(name) > MAX_GLOB:
        raise bad_argument(f"name is a glob of at most {MAX_GLOB} characters, not {len(name)}")
    return name


def read_flag(fields: Mapping[str, Any], key: str) -> bool:
    """Return true or false; false without."""
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise bad_argument(f"{key} must be true or false, not {value!r:.60}")
    return value


def read_texts(fields: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of texts; none without."""
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise bad_argument(f"{key} must be a list of texts, not {value!r:.60}")
    return value


def read_text(fields: Mapping[str, Any], key: str) -> str | None:
    """Return a text; None without."""
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise bad_argument(f"{key} must be a text, not {value!r:.60}")
    return value


def read_number(fields: Mapping[str, Any], key: str, default: float, least: float, most: float) -> float:
    """Return a number within bounds."""
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise bad_argument(f"{key} must be {least:g} to {most:g}, not {value!r:.60}")
    return float(value)
