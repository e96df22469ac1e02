"""From a file and environment variables to values by section and key, and every fault with its place.

A fault never stops the reading: a person who mends a file wants to know all faults at once.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from discoveryd.config.durations import VARIABLE_PREFIX, parse_duration, shown
from discoveryd.config.sections import LISTS
from discoveryd.config.tree import Fault, Pairs, Place, TextSource, YamlNode, parse
from discoveryd.errors import ConfigError
from discoveryd.protocol.messages.values import AllowRule
from discoveryd.protocol.wire.record import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

SERVICE = {key.name: str(key.type) for key in fields(Service)}
"""Key of a service to its type as annotated."""

_RULE = {"name": "str", "from": "str"}
_RULE_EXAMPLE = '{name: deploy, from: "ctl-*"}'

SHELL = "/bin/sh"
MAX_FAULTS = 100
"""Faults that are told at most: a file with more is some other file."""

_Made = TypeVar("_Made")

_CUT = 40
"""Characters after which a record's faults cut the name of a tag or service."""


class ConfigReader:
    """Collects settings, then turns them into values; a later setting replaces an earlier one.

    Args:
        schema: section to key to the annotated type of its value.
        source: named in a fault that has no place.
    """

    def __init__(self, schema: Mapping[str, Mapping[str, str]], source: str) -> None:
        self._schema = schema
        self._source = source
        self._settings: dict[str, YamlNode] = {}
        self._places: dict[str, Place] = {}
        self._faults: set[tuple[Place, str]] = set()

    def add_file(self, path: str, raw: bytes) -> None:
        """Read the settings of a file."""
        root = self._root(path, raw)
        for section, where, node in self._entries("", root, "sections such as `hello:`", self._schema):
            self._places[section] = where
            keys = self._schema[section]
            if section in LISTS:
                self._settings[f"{section}.{LISTS[section]}"] = node
                continue
            wanted = f"keys such as `{next(iter(keys))}:` below it"
            for key, place, value in self._entries(section, node, wanted, keys):
                self._settings[f"{section}.{key}"] = value
                self._places[f"{section}.{key}"] = place

    def _root(self, path: str, raw: bytes) -> YamlNode:
        """Return a file as a tree; an empty node where it cannot be read, which is noted."""
        label = shown(path)
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            place = TextSource(label, raw.count(b"\n") + 1).at(raw.count(b"\n", 0, error.start))
            self._fault(place, f"the byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8")
            return YamlNode(place, None)
        return self._parse(text, TextSource(label, len(text.splitlines())))

    def add_variable(self, name: str, text: str) -> None:
        """Read the setting of a variable such as ``DISCOVERYD_HELLO__TTL``."""
        origin = TextSource(f"environment {shown(name)}", None)
        section, _, key = name.removeprefix(VARIABLE_PREFIX).lower().partition("__")
        keys = self._schema.get(section, {})
        if key not in keys:
            self._fault(origin.at(0), self._unknown(section, key, keys))
            return
        self._settings[f"{section}.{key}"] = self._parse(text, origin)
        self._places[f"{section}.{key}"] = origin.at(0)
        self._places.setdefault(section, origin.at(0))

    def values(self) -> dict[str, dict[str, Any]]:
        """Return section to key to value, without the keys that are empty or cannot be read."""
        values: dict[str, dict[str, Any]] = {section: {} for section in self._schema}
        for path, node in self._settings.items():
            section, _, key = path.partition(".")
            value = self._value(path, self._schema[section][key], node)
            if value is not None:
                values[section][key] = value
        return values

    def refuse(self, problems: Iterable[str]) -> None:
        """Note faults that begin with a key, such as ``hello.ttl: ...``, at the place where it was set.

        A fault of a key that was not set follows from a key that was, and is left out.
        """
        placed, unplaced = [], []
        for problem in problems:
            heads = (problem[: colon.start()] for colon in re.finditer(":", problem))
            keys = [head for head in heads if head in self._places]
            if keys:
                placed.append((self._places[keys[-1]], self._as_written(keys[-1], problem)))
            else:
                unplaced.append((Place(0, 0, shown(self._source)), problem))
        self._faults.update(placed or unplaced)

    def _as_written(self, path: str, problem: str) -> str:
        """Return a problem with the duration as it was written: ``1ms`` is not found by ``0.001s``."""
        section, _, key = path.partition(".")
        node = self._settings.get(path)
        if self._schema.get(section, {}).get(key) != "float" or node is None:
            return problem
        return re.sub(r", not [-+.\w]+$", lambda _: f", not {shown(str(node.value))}", problem)

    def finish(self) -> None:
        """Raise the faults, if there are any.

        Raises:
            ConfigError: a line for each fault, in reading order.
        """
        if not self._faults:
            return
        problems = [f"{place.text}: {problem}" for place, problem in sorted(self._faults)]
        if len(problems) > MAX_FAULTS:
            left = len(problems) - MAX_FAULTS
            problems[MAX_FAULTS:] = [f"{shown(self._source)}: and {left} more; is it the right file?"]
        raise ConfigError(*problems)

    def _fault(self, place: Place, problem: str) -> None:
        self._faults.add((place, problem))

    def _parse(self, text: str, origin: TextSource) -> YamlNode:
        try:
            return parse(text, origin)
        except Fault as fault:
            place, problem = fault.args
            self._fault(place, problem)
            return YamlNode(place, None)

    def _entries(
        self, where: str, node: YamlNode, wanted: str, known: Collection[str] | None = None
    ) -> Iterator[tuple[str, Place, YamlNode]]:
        """Yield name, place and value of each key of a mapping that is known and not a duplicate."""
        if not isinstance(node.value, tuple):
            self._wanted(where, wanted, node)
            return
        first: dict[str, Place] = {}
        for (place, name), value in node.value:
            if not isinstance(name, str):
                self._fault(place, f"a key must be a word, not {_found(name)}")
            elif known is not None and name not in known:
                self._fault(place, self._unknown(where, name, known))
            elif name in first:
                line = f", first on line {first[name].line}" if place.line else ""
                self._fault(place, f"{_path(where, name)}: set twice{line}; keep one")
            else:
                first[name] = place
                yield name, place, value

    def _wanted(self, where: str, wanted: str, node: YamlNode) -> None:
        """Note that a node has another shape; an empty node is no fault, it means the default."""
        if node.value is not None:
            key = f"{shown(where)}: " if where else ""
            self._fault(node.place, f"{key}must be {wanted}, not {_found(node.value)}")

    def _unknown(self, where: str, name: str, known: Collection[str]) -> str:
        """Return that a key is unknown, and the nearest known key: here, else in another section."""
        if len(self._faults) > MAX_FAULTS:
            return f"unknown key {_path(where, name)}"  # is not told any more, and a search takes its time
        import difflib  # noqa: PLC0415 - for a configuration that is wrong only

        here = {key: _path(where, key) for key in known}
        elsewhere = {key: f"{section}.{key}" for section, keys in self._schema.items() for key in keys}
        found = f"unknown key {_path(where, name)}"
        for names in (here, {} if "." in where else elsewhere):
            nearest = difflib.get_close_matches(name[:80], names, n=1)
            if nearest:
                return f"{found}; did you mean {names[nearest[0]]}?"
        return f"{found}; known here are {', '.join(known or self._schema)}"

    def _value(self, path: str, kind: str, node: YamlNode) -> Any:
        """Return a value; None where it is empty, or a fault, which is noted."""
        if node.value is None:
            return None
        inner = {
            "Mapping[str, str]": self._tags, "tuple[Service, ...]": self._services, "tuple[str, ...]": self._texts,
            "tuple[AllowRule, ...]": self._rules,
        }  # fmt: skip
        if kind in inner:
            return inner[kind](path, node)
        wanted, read = _SCALARS[kind]
        if not isinstance(node.value, str):
            self._wanted(path, wanted, node)
            return None
        try:
            return read(node.value)
        except ValueError as error:
            self._fault(node.place, f"{shown(path)}: {error}")
            return None

    def _items(self, path: str, node: YamlNode, wanted: str, read: Callable[[YamlNode], Any]) -> tuple[Any, ...] | None:
        """Read the items of a list, without those that have nothing in them or cannot be read, which is noted."""
        if not isinstance(node.value, list):
            self._wanted(path, wanted, node)
            return None
        for item in node.value:
            if item.value is None:
                self._fault(item.place, f"{path}: an item with nothing in it; remove it or fill it in")
        found = (read(item) for item in node.value if item.value is not None)
        return tuple(value for value in found if value is not None)

    def _texts(self, path: str, node: YamlNode) -> tuple[str, ...] | None:
        example = f'["{node.value}"]' if isinstance(node.value, str) else '["one", "two"]'
        return self._items(path, node, f"a list such as {shown(example)}", lambda item: self._value(path, "str", item))

    def _tags(self, path: str, node: YamlNode) -> dict[str, str]:
        tags: dict[str, str] = {}
        for name, place, value in self._entries(path, node, "tags such as {role: web}"):
            self._places[f"{path}.{name[:_CUT]}"] = place
            text = "" if value.value is None else self._value(f"{path}.{name}", "str", value)
            if text is not None:
                tags[name] = text
        return tags

    def _services(self, path: str, node: YamlNode) -> tuple[Service, ...] | None:
        wanted = "a list of services such as [{name: http, port: 80}]"
        return self._items(path, node, wanted, lambda item: self._service(path, item))

    def _service(self, path: str, node: YamlNode) -> Service | None:
        entries = list(self._entries(path, node, "a service such as {name: http, port: 80}", SERVICE))
        named = next((node.value for key, _, node in entries if key == "name"), None)
        where = f"{path}.{shown(named)[:_CUT] if isinstance(named, str) else '?'}"
        self._places[path] = self._places[where] = node.place  # `refuse` looks them up below
        found = self._values(f"{where}.", entries, SERVICE)
        lack = lacking(found)
        if lack and isinstance(node.value, tuple):
            self._fault(node.place, f"{path}: {lack}")
        return None if lack else self._build(Service, found, lambda problem: f"node.{problem}")

    def _rules(self, path: str, node: YamlNode) -> tuple[AllowRule, ...] | None:
        wanted = f"a list of rules such as [{_RULE_EXAMPLE}]"
        return self._items(path, node, wanted, lambda item: self._rule(path, item))

    def _rule(self, path: str, node: YamlNode) -> AllowRule | None:
        entries = list(self._entries(path, node, f"a rule such as {_RULE_EXAMPLE}", _RULE))
        found = self._values(f"{path}.", entries, _RULE)
        missing = " and ".join(key for key in _RULE if key not in found)
        if missing and isinstance(node.value, tuple):
            self._fault(node.place, f"{path}: a rule needs {missing}")
        if missing or None in found.values():
            return None
        return AllowRule(name=found["name"], sender=found["from"])

    def _command(self, path: str, node: YamlNode) -> tuple[str, ...] | None:
        """Read a command: a list is run as it stands, a text by the shell."""
        if isinstance(node.value, list):
            return self._texts(path, node)
        if not isinstance(node.value, str):
            self._wanted(path, 'a text for the shell, or a list such as ["/usr/bin/pgrep", "sshd"]', node)
            return None
        if all(char.isprintable() or char in "\n\t" for char in node.value):  # a shell takes several lines
            return (SHELL, "-c", node.value) if node.value.strip() else ()
        self._fault(node.place, f"{path}: has a control character in it: {shown(node.value)}")
        return None

    def _values(
        self, prefix: str, entries: Iterable[tuple[str, Place, YamlNode]], kinds: Mapping[str, str]
    ) -> dict[str, Any]:
        """Read the keys of a mapping, without those that have nothing; None stands for a fault."""
        found = {}
        for key, place, node in entries:
            self._places[f"{prefix}{key}"] = place
            if node.value is not None:
                found[key] = self._value(f"{prefix}{key}", kinds[key], node)
        return found

    def _build(
        self, kind: Callable[..., _Made], found: Mapping[str, Any], with_key: Callable[[str], str]
    ) -> _Made | None:
        """Return what is made of the keys; None where it is refused, which is noted."""
        if None in found.values():
            return None
        try:
            return kind(**found)
        except ConfigError as error:
            self.refuse(map(with_key, error.problems))
            return None


def lacking(found: Mapping[str, Any]) -> str:
    """Return what a service lacks, empty if nothing."""
    missing = " and ".join(key for key in ("name", "port") if key not in found)
    return missing and f"a service needs {missing} (port 0 where it has none)"


def _path(where: str, key: str) -> str:
    return shown(f"{where}.{key}" if where else key)


def _found(value: str | list[YamlNode] | Pairs | None) -> str:
    """Return what the value of a node is, in words."""
    if isinstance(value, str):
        return f"{value!r:.80}"
    return "nothing" if value is None else "a list" if isinstance(value, list) else "a mapping"


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"must be printable text on one line, not {text!r:.80}")
    return text


def _whole(text: str) -> int:
    # 15 digits are enough for any limit, and cost no time
    if not re.fullmatch("-?[0-9]{1,15}", text):
        raise ValueError(f"must be a whole number, not {text!r:.80}")
    return int(text)


def _on_or_off(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ValueError(f"must be on or off, not {text!r:.80}") from None


_WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}

_SCALARS: Mapping[str, tuple[str, Any]] = {
    "str": ("a text", _text),
    "int": ("a whole number", _whole),
    "float": ("a duration such as 4s", parse_duration),
    "bool": ("on or off", _on_or_off),
}
